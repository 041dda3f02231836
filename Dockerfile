# The base by its exact version, so that two builds are alike; renew it together with compose.yaml's when a new one is out:
#   docker buildx imagetools inspect python:3.13-slim-trixie
# shows its digest, which may stand behind the tag (python:…@sha256:…) and then goes before it.
ARG BASE=python:3.13.9-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# What builds the gateway is locked too, and stays apart from what runs it.
RUN python -m venv --without-pip /opt/gateway /opt/gateway-build
# Archives need Arrow and Delta, 300 MB: docker build --build-arg LOCK=requirements-archive.lock
# Kafka on AWS with its IAM needs Amazon's libraries: docker build --build-arg LOCK=requirements-msk.lock
ARG LOCK=requirements.lock
COPY requirements.lock requirements-archive.lock requirements-msk.lock requirements-build.lock ./
RUN python -m pip --python /opt/gateway/bin/python install --require-hashes --requirement ${LOCK}
RUN python -m pip --python /opt/gateway-build/bin/python install --require-hashes --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY gateway gateway
RUN python -m pip --python /opt/gateway-build/bin/python wheel --no-deps --no-build-isolation --wheel-dir dist .
RUN python -m pip --python /opt/gateway/bin/python install --no-deps --no-index dist/*.whl

FROM ${BASE}
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1
# Group 0 may write too: OpenShift runs the image as any user, and always in that group.
RUN groupadd --system --gid 10001 gateway \
    && useradd --system --uid 10001 --gid gateway --no-create-home --shell /usr/sbin/nologin gateway \
    && install -d -o gateway -g root -m 0775 /srv/gateway/var
COPY --from=build /opt/gateway /opt/gateway
WORKDIR /srv/gateway
COPY config config
# Nothing but this directory is written to: the root may be read-only (docker run --read-only). The embedded log is there by
# default. No variable says so: it would take precedence over the `log` of a configuration that is mounted.
VOLUME /srv/gateway/var
# By number, since an orchestrator that refuses root cannot look up names.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"GATEWAY_PORT\", 8080)}/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["gateway"]
CMD ["serve", "--host", "0.0.0.0"]
