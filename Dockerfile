# The wheel and its dependencies are put into an environment of their own, which alone goes into the image.
FROM python:3.12.8-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
ARG EXTRAS=nats
ARG MORE=
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY rtpverify rtpverify
RUN python -m venv /opt/rtpverify && /opt/rtpverify/bin/pip install ".[${EXTRAS}]" ${MORE}

FROM python:3.12.8-slim-bookworm
LABEL org.opencontainers.image.title="rtpverify" \
      org.opencontainers.image.description="Integrity verifier for audio that travels as RTP" \
      org.opencontainers.image.licenses="GPL-3.0-or-later"
ENV PATH=/opt/rtpverify/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --no-create-home --uid 10001 --shell /usr/sbin/nologin rtpverify \
    && install --directory --owner=10001 /var/lib/rtpverify
COPY --from=build /opt/rtpverify /opt/rtpverify
COPY configs/container.toml /etc/rtpverify/container.toml

USER 10001:10001
WORKDIR /var/lib/rtpverify
EXPOSE 9464/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
ENTRYPOINT ["rtpverify"]
CMD ["serve", "/etc/rtpverify/container.toml"]
