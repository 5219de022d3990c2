# One image for every process of ours: `docker run headrace MODULE ARGUMENTS` runs `python -m MODULE ARGUMENTS`.
# Models bring their own environments, which a node makes with uv: there is no torch in here.
# By exact version. A digest would be better still: put in the one that your registry names.
FROM python:3.11.14-slim-trixie

ENV PYTHONUNBUFFERED=1 UV_LINK_MODE=copy UV_NO_CACHE=1
WORKDIR /opt/headrace

COPY requirements.lock requirements.image.lock pyproject.toml README.md LICENSE ./
COPY api ./api
COPY audit ./audit
COPY whatif ./whatif
COPY operations ./operations
COPY cli ./cli
COPY contract ./contract
COPY cpu_worker ./cpu_worker
COPY examples/policies ./examples/policies
COPY gpu_worker ./gpu_worker
COPY local ./local
COPY migrations ./migrations
COPY registry ./registry
COPY runtime ./runtime
COPY scheduling ./scheduling
COPY streams ./streams
COPY views ./views

# requirements.image.lock is requirements.lock without what only developers need. Every wheel, uv too, is checked by hash.
# Among them is FFmpeg (GPL 3, wheel imageio-ffmpeg): who hands this image out offers its source too (docs/decisions/0041).
# tini is process 1: it reaps what processes of ours leave behind, and passes signals on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && ./local/fetch_uv.sh /opt/uv \
    && /opt/uv/bin/uv pip install --system --require-hashes --requirement requirements.image.lock \
    && /opt/uv/bin/uv pip install --system --no-deps --no-build-isolation --editable . \
    && useradd --system --create-home headrace \
    && mkdir -p /var/lib/headrace/data /var/lib/headrace/keys /var/lib/headrace/secrets \
    && chown -R headrace /var/lib/headrace

USER headrace
ENTRYPOINT ["tini", "--", "python", "-m"]
CMD ["api"]
