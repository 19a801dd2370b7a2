# syntax=docker/dockerfile:1
# SPDX-License-Identifier: Apache-2.0
#
# Everything but the edge: rackwatt collect, account, report, pki, store …
#   docker build -f containers/collector.Dockerfile -t rackwatt:0.1.0 .
# With the simulated site, and what it needs (three times as large):
#   docker build -f containers/collector.Dockerfile --build-arg PART=twin -t rackwatt-twin:0.1.0 .
# A release names the bases by digest: --build-arg PYTHON_IMAGE=python:…@sha256:… (docs/containers.md).
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm
ARG NODE_IMAGE=node:22.14.0-bookworm-slim

# The page's charts and fonts, and the report's: from npm, by the hashes of package-lock.json.
FROM ${NODE_IMAGE} AS assets
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
COPY scripts/build-assets scripts/
RUN mkdir -p collector/rackwatt/collector/live/page/static reports/rackwatt/reports/pdf \
    && bash scripts/build-assets --force

FROM ${PYTHON_IMAGE} AS build
ARG PART=collector
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY containers/locks/build.lock containers/locks/${PART}.lock containers/locks/
RUN python -m venv /build \
    && /build/bin/pip install --require-hashes -r containers/locks/build.lock \
    && python -m venv --without-pip /opt/rackwatt \
    && pip --python /opt/rackwatt/bin/python install --require-hashes \
        -r containers/locks/${PART}.lock
COPY . .
COPY --from=assets /src/collector/rackwatt/collector/live/page/static/vendor \
    collector/rackwatt/collector/live/page/static/vendor
COPY --from=assets /src/reports/rackwatt/reports/pdf/fonts reports/rackwatt/reports/pdf/fonts
RUN /build/bin/python -m hatchling build -t wheel -d /wheel \
    && pip --python /opt/rackwatt/bin/python install --no-deps --no-index /wheel/*.whl \
    && /opt/rackwatt/bin/rackwatt --help >/dev/null

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rackwatt" \
    org.opencontainers.image.description="Collector, accountant, reports and tools of the Rackwatt operations monitor" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.vendor="The Rackwatt authors" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# A number, so that an orchestrator can see that it is not root.
RUN groupadd --gid 10001 rackwatt \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rackwatt \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/rackwatt
COPY --from=build /opt/rackwatt /opt/rackwatt
ENV PATH=/opt/rackwatt/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    RACKWATT_HEALTH_URL=http://127.0.0.1:8401/healthz
USER 10001:10001
WORKDIR /var/lib/rackwatt
VOLUME ["/var/lib/rackwatt"]
EXPOSE 8400 8401
STOPSIGNAL SIGTERM
# A collector's port; an accountant sets RACKWATT_HEALTH_URL=http://127.0.0.1:8400/healthz.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "rackwatt.collector.healthy"]
ENTRYPOINT ["rackwatt"]
CMD ["--help"]
