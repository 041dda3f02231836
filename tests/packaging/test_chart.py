"""The Helm chart and the manifests that are written from it: as the API of Kubernetes wants them, and as each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.commands.cli import main
from tests.end_to_end.process import ROOT
from tests.services.chart import CHART, stamp
from tests.services.kubernetes import NEWEST, OLDEST, schemas

MANIFESTS = ROOT / "config" / "kubernetes" / "gateway.yaml"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SAMPLE: dict[str, Any] = yaml.safe_load((CHART / "sample.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
ABOUT: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())

OTHER_VALUES = """
replicas: 3
pullSecrets: [registry]
schemas:
  shop/order/1.0.0.yaml: |
    title: shop/order
    $id: /shop/order/1.0.0
    type: object
environmentSecret: gateway-environment
filesSecret: gateway-files
drainSeconds: 60
podLabels: {team: shop}
podAnnotations: {note: "1"}
nodeSelector: {disk: fast}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
service: {type: LoadBalancer}
ingress: {tlsSecret: "", annotations: {nginx.ingress.kubernetes.io/proxy-body-size: null}}
configuration:
  log: kafka://broker:9092
  streams: {orders: {topics: [shop.orders], schema_title: shop/order}}
"""


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_manifests_are_what_the_api_wants(version: str) -> None:
    found = documents(MANIFESTS.read_text())
    assert {document["kind"] for document in found} >= {"Deployment", "Service", "Ingress", "ConfigMap"}
    assert [mistake for document in found for mistake in schemas(version).mistakes(document)] == []
    (deployment,) = (document for document in found if document["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    deployment["spec"]["replicas"] = "two"
    assert len(schemas(version).mistakes(deployment)) == 2


def test_the_manifests_are_those_of_the_chart_as_it_is() -> None:
    assert f"# Of the chart: {stamp()}\n" in MANIFESTS.read_text(), "run scripts/chart"


def test_the_chart_and_the_gateway_are_of_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert ABOUT["appVersion"] == version
    assert ABOUT["kubeVersion"] == f">={OLDEST}.0-0"
    # In the repository: the script builds the helm that the notes of the chart were tried with.
    assert re.search(r"helm\.sh/helm/v3/cmd/helm@v3\.\d+\.\d+", (ROOT / "scripts/chart").read_text())


def test_each_value_is_in_the_schema_and_explained() -> None:
    text = (CHART / "values.yaml").read_text()
    assert VALUES.keys() == SCHEMA["properties"].keys()
    for name in ("image", "metrics", "service", "ingress"):
        assert VALUES[name].keys() == SCHEMA["properties"][name]["properties"].keys()
    own = {"image", "pullSecrets", "replicas", "podLabels", "podAnnotations", "nodeSelector", "tolerations", "affinity"}
    for name in VALUES.keys() - own - {"service", "ingress"}:
        assert re.search(rf"^# .*\n{name}:", text, re.MULTILINE), f"{name} is not explained"


def test_the_schema_refuses_what_would_not_work() -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    validator.validate(VALUES | SAMPLE)
    for wrong in (
        {},
        {"configuration": SAMPLE["configuration"] | {"port": 8000}},
        {"configuration": SAMPLE["configuration"] | {"log": "sqlite:///events.db"}},
        {"configuration": SAMPLE["configuration"] | {"streams": {}}},
        SAMPLE | {"replica": 2},
        SAMPLE | {"schemas": {"../order.yaml/": "x"}},
        SAMPLE | {"metrics": {"enable": True}},
    ):
        assert not validator.is_valid(VALUES | wrong), wrong


@pytest.fixture
def helm() -> str:
    """It is no part of the tests' own machine: building it takes minutes. `scripts/chart` does, and uses it."""
    built = ROOT / ".cache" / "helm" / "helm"
    found = shutil.which("helm") or (str(built) if built.exists() else None)
    if found is None:
        pytest.skip("there is no helm: scripts/chart builds it")
    return found


def render(helm: str, values: Path, *more: str) -> list[dict[str, Any]]:
    command = [helm, "template", "shop", str(CHART), "--values", str(values), "--kube-version", NEWEST, *more]
    return documents(subprocess.check_output(command, text=True))


@pytest.mark.by_hand
def test_other_values(helm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(OTHER_VALUES)
    found = render(helm, values)
    assert [mistake for document in found for mistake in schemas(NEWEST).mistakes(document)] == []
    by_kind = {document["kind"]: document for document in found if not document["metadata"]["name"].endswith("schemas")}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "gateway-environment"}}]
    assert pod["terminationGracePeriodSeconds"] == 5 + 60 + 20
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    # None within another: a read-only volume takes no folder for it.
    paths = sorted(f"{path}/" for path in mounts.values())
    assert not any(after.startswith(before) for before, after in pairwise(paths))
    assert "tls" not in by_kind["Ingress"]["spec"]
    assert not any("body-size" in name for name in by_kind["Ingress"]["metadata"]["annotations"])
    # The configuration is one, with the schemas where they are mounted.
    (schema_map,) = (document for document in found if document["metadata"]["name"] == "shop-schemas")
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "schemas")
    for item in volume["configMap"]["items"]:
        path = tmp_path / "schemas" / item["path"]
        path.parent.mkdir(parents=True)
        path.write_text(schema_map["data"][item["key"]])
    text = by_kind["ConfigMap"]["data"]["gateway.yaml"]
    assert mounts["schemas"] in text
    (tmp_path / "gateway.yaml").write_text(text.replace(mounts["schemas"], str(tmp_path / "schemas")))
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(tmp_path / "gateway.yaml")])
    assert ended.value.code in {0, None}, capsys.readouterr()


@pytest.mark.by_hand
def test_without_prometheus_nobody_reaches_the_admin_port(helm: str) -> None:
    found = render(helm, CHART / "sample.yaml", "--set", "metrics.enabled=false")
    assert not any(document["kind"] == "NetworkPolicy" for document in found)
    (configuration,) = (document for document in found if document["kind"] == "ConfigMap")
    assert "admin_host" not in yaml.safe_load(configuration["data"]["gateway.yaml"])
    (deployment,) = (document for document in found if document["kind"] == "Deployment")
    assert not any("prometheus" in name for name in deployment["spec"]["template"]["metadata"]["annotations"])


@pytest.mark.by_hand
def test_a_changed_configuration_is_a_new_pod(helm: str) -> None:
    def checksum(*more: str) -> str:
        found = render(helm, CHART / "sample.yaml", *more)
        (deployment,) = (document for document in found if document["kind"] == "Deployment")
        name: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/configuration"]
        return name

    assert checksum() != checksum("--set", "configuration.heartbeat=20")
