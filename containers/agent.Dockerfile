# syntax=docker/dockerfile:1
# SPDX-License-Identifier: Apache-2.0
#
# The edge: rackwatt-agent with its drivers, and nothing of the collector's.
#   docker build -f containers/agent.Dockerfile -t rackwatt-agent:0.1.0 .
# A release names the base by digest: --build-arg PYTHON_IMAGE=python:…@sha256:… (docs/containers.md).
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY containers/locks/build.lock containers/locks/agent.lock containers/locks/
RUN python -m venv /build \
    && /build/bin/pip install --require-hashes -r containers/locks/build.lock \
    && python -m venv --without-pip /opt/rackwatt \
    && pip --python /opt/rackwatt/bin/python install --require-hashes --only-binary :all: \
        -r containers/locks/agent.lock
COPY . .
RUN /build/bin/python -m hatchling build -t wheel -d /wheel \
    && pip --python /opt/rackwatt/bin/python install --no-deps --no-index /wheel/*.whl \
    && /opt/rackwatt/bin/rackwatt-agent --help >/dev/null

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rackwatt-agent" \
    org.opencontainers.image.description="Reads power, temperature and GPU use at the edge and sends them over MQTT" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.vendor="The Rackwatt authors" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# A number, so that an orchestrator can see that it is not root.
RUN groupadd --gid 10001 rackwatt \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rackwatt \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/rackwatt
COPY --from=build /opt/rackwatt /opt/rackwatt
# Of a GPU's driver, NVML alone.
ENV PATH=/opt/rackwatt/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_DRIVER_CAPABILITIES=utility
USER 10001:10001
WORKDIR /var/lib/rackwatt
VOLUME ["/var/lib/rackwatt"]
STOPSIGNAL SIGTERM
# The outbox tells whether the agent still keeps what it reads; it needs no open port.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["rackwatt-agent", "healthy", "/etc/rackwatt/agent.yaml"]
ENTRYPOINT ["rackwatt-agent"]
CMD ["run", "/etc/rackwatt/agent.yaml"]
