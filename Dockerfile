FROM python:3.12.8-slim-bookworm

WORKDIR /opt/rtpverify
COPY pyproject.toml README.md LICENSE ./
COPY rtpverify rtpverify
RUN pip install --no-cache-dir . \
    && useradd --system --no-create-home --uid 10001 rtpverify
COPY configs /etc/rtpverify

USER rtpverify
WORKDIR /tmp
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
ENTRYPOINT ["rtpverify"]
CMD ["serve", "/etc/rtpverify/bench.toml"]
