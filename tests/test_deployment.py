"""What is offered for running many gateways fits the code, and its parts fit each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.commands.cli import main
from gateway.process.supervisor import STOP_SECONDS
from gateway.settings.table import SETTINGS
from tests.packaging.image import stages
from tests.services.nginx import RESOLVE, UPSTREAMS

ROOT = Path(__file__).parent.parent
MANIFESTS = [
    document for path in sorted((ROOT / "config" / "kubernetes").glob("*.yaml")) for document in
    yaml.safe_load_all(path.read_text())
]  # fmt: skip
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
NGINX = (ROOT / "config" / "nginx" / "gateway.conf").read_text()
NGINX_MAIN = (ROOT / "config" / "nginx" / "nginx.conf").read_text()


def default(key: str) -> Any:
    """That of a setting."""
    return next(setting.default for setting in SETTINGS if setting.key == key)


def seconds(text: str) -> int:
    """Of a duration as files have it."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return int(found[1])


def one(kind: str) -> dict[str, Any]:
    """The manifest of a kind."""
    (found,) = [document for document in MANIFESTS if document["kind"] == kind]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def pod() -> dict[str, Any]:
    found = one("Deployment")["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


def test_the_configuration_of_the_pods_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(one("ConfigMap")["data"]["gateway.yaml"])
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(path)])
    assert ended.value.code in {0, None}, capsys.readouterr()


def test_the_pods_are_found_by_what_selects_them() -> None:
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    selector = one("Deployment")["spec"]["selector"]["matchLabels"]
    # Not by its version, or a new one could not be rolled out.
    assert labels.items() - selector.items() == {("app.kubernetes.io/version", labels["app.kubernetes.io/version"])}
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == selector
    assert one("Service")["spec"]["selector"] == selector
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == selector
    (spread,) = one("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == selector


def test_the_names_of_ports_and_volumes_hold(pod: dict[str, Any], container: dict[str, Any]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": default("port"), "admin": default("admin_port")}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    (service_port,) = one("Service")["spec"]["ports"]
    assert service_port["targetPort"] in ports
    ((rule,),) = [one("Ingress")["spec"]["rules"]]
    ((path,),) = [rule["http"]["paths"]]
    assert path["backend"]["service"] == {
        "name": one("Service")["metadata"]["name"],
        "port": {"name": service_port["name"]},
    }
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["configuration"]["configMap"]["name"] == one("ConfigMap")["metadata"]["name"]
    mounted = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "configuration")
    assert f"{mounted}/{next(iter(one('ConfigMap')['data']))}" in container["args"]


def test_the_probes_ask_for_what_there_is(container: dict[str, Any]) -> None:
    app = (ROOT / "gateway" / "app" / "ports.py").read_text()
    # Not /readyz: where the log is away from all pods, new clients have to wait in a gateway, not be sent off.
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] == "/healthz"
    assert '"/healthz"' in app


def test_a_pod_has_time_to_drain(pod: dict[str, Any], container: dict[str, Any]) -> None:
    settings = yaml.safe_load(one("ConfigMap")["data"]["gateway.yaml"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + seconds(settings["drain_time"]) + STOP_SECONDS


def test_a_container_of_compose_has_time_to_drain() -> None:
    for name in (name.partition(":")[0] for name in UPSTREAMS):
        service = COMPOSE["services"][name]
        assert "GATEWAY_DRAIN_TIME" not in service["environment"]
        assert seconds(service["stop_grace_period"]) >= default("drain_time") + STOP_SECONDS
    shutdown = re.search(r"^worker_shutdown_timeout (\w+);", NGINX_MAIN, re.MULTILINE)
    assert shutdown
    assert seconds(COMPOSE["services"]["nginx"]["stop_grace_period"]) > seconds(shutdown[1])


def test_the_guide_says_how_long_a_stop_may_take() -> None:
    assert f"`drain_time` and {STOP_SECONDS:.0f} seconds" in (ROOT / "docs/OPERATING.md").read_text()


def test_prometheus_alone_reaches_the_admin_port(container: dict[str, Any]) -> None:
    settings = yaml.safe_load(one("ConfigMap")["data"]["gateway.yaml"])
    assert settings["admin_host"] == settings["host"] == "0.0.0.0"
    template = one("Deployment")["spec"]["template"]["metadata"]
    policy = one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    public, admin = policy["ingress"]
    assert public == {"ports": [{"protocol": "TCP", "port": "http"}]}
    assert admin["ports"] == [{"protocol": "TCP", "port": "admin"}]
    assert [list(source) for source in admin["from"]] == [["namespaceSelector"]]
    assert template["annotations"]["prometheus.io/port"] == str(default("admin_port"))
    # The Service, and so the Ingress, lead nobody there.
    assert [port["targetPort"] for port in one("Service")["spec"]["ports"]] == ["http"]


def test_a_pod_may_do_nothing_that_it_need_not(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    # Of what the image is run as, only a number can be seen not to be root. OpenShift gives a user of its own, and
    # refuses a pod that names another.
    assert re.fullmatch(r"[1-9]\d*:\d+", stages()[-1].value("USER"))
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["securityContext"].keys()
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_compose_runs_the_configuration_of_nginx_that_is_tested() -> None:
    services = COMPOSE["services"]
    names = [name.partition(":")[0] for name in UPSTREAMS]
    assert set(names) <= services.keys()
    for volume in services["nginx"]["volumes"]:
        source, target, mode = volume.split(":")
        assert (ROOT / source).is_file()
        assert (target, mode) == (f"/etc/nginx/{Path(source).name}", "ro")
    for service in services.values():
        assert set(service.get("depends_on", [])) <= services.keys()
    known = {setting.variable for setting in SETTINGS}
    for name in names:
        assert set(services[name]["environment"]) <= known


def test_nginx_looks_up_again_where_the_gateways_are() -> None:
    """A container that is recreated has another address; what Docker says of it holds for ten minutes by itself."""
    servers = re.findall(r"^\s+server (\S+) ([^;]+);", NGINX_MAIN, re.MULTILINE)
    assert [name for name, _ in servers] == list(UPSTREAMS)
    assert all("resolve" in words.split() for _, words in servers)
    assert re.search(r"^\s+zone \w+ \w+;", NGINX_MAIN, re.MULTILINE), "which `resolve` needs"
    resolver = re.search(r"^\s+resolver (\S+) valid=(\w+)", NGINX_MAIN, re.MULTILINE)
    assert resolver
    assert resolver[1] == "127.0.0.11"
    assert seconds(resolver[2]) <= 5
    image, _, version = COMPOSE["services"]["nginx"]["image"].partition(":")
    assert image == "nginx"
    assert (*map(int, version.split(".")), 0) >= RESOLVE


def test_the_service_sets_no_setting(pod: dict[str, Any]) -> None:
    # Without this a pod gets variables called after every service: of `gateway`, GATEWAY_PORT=tcp://10.0.0.1:80.
    assert pod["enableServiceLinks"] is False


def test_nginx_and_the_ingress_do_the_same() -> None:
    said = dict(re.findall(r"^    (proxy_\w+) ([^;]+);", NGINX, re.MULTILINE))
    prefix = "nginx.ingress.kubernetes.io/"
    annotations = {
        name.removeprefix(prefix).replace("-", "_"): value
        for name, value in one("Ingress")["metadata"]["annotations"].items()
    }
    del annotations["proxy_body_size"]
    for name, value in annotations.items():
        assert said[name].removesuffix("s") == value, name
    # Silence for several heartbeats alone means that a gateway is gone.
    assert int(annotations["proxy_read_timeout"]) >= 3 * default("heartbeat")
