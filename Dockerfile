# The daemon as a container. Not built by CI: it has no registry to take the base image from.
#   docker build -t lsm-monitor .
#   docker run --network host -v /etc/lsm-monitor:/etc/lsm-monitor:ro -v lsm-state:/var/lib/lsm-monitor lsm-monitor
# The HTTP port listens on loopback only, so Prometheus reaches it with --network host, or from a
# container that shares this one's network.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY lsm_monitor lsm_monitor
COPY engines engines
COPY train train
COPY config config
COPY systemd systemd
RUN python -m venv /opt/lsm-monitor/.venv \
    && /opt/lsm-monitor/.venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[openvino]"

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 lsm-monitor \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/lsm-monitor --no-log-init lsm-monitor \
    && install -d -o lsm-monitor -g lsm-monitor -m 750 /var/lib/lsm-monitor /var/cache/lsm-monitor
COPY --from=build /opt/lsm-monitor /opt/lsm-monitor
# As in systemd/lsm-monitor.service: where state and cache are, and a picture's memory given back.
ENV PATH=/opt/lsm-monitor/.venv/bin:$PATH \
    STATE_DIRECTORY=/var/lib/lsm-monitor \
    CACHE_DIRECTORY=/var/cache/lsm-monitor \
    MALLOC_MMAP_THRESHOLD_=4194304 \
    MALLOC_ARENA_MAX=2
USER 10001:10001
VOLUME ["/var/lib/lsm-monitor", "/var/cache/lsm-monitor"]
# The first start builds the engines. Not healthy: no answer, or a part that stands still (503).
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9109/healthz', timeout=5)"]
ENTRYPOINT ["lsm-monitor"]
CMD ["run", "--config", "/etc/lsm-monitor/monitor.yaml"]
