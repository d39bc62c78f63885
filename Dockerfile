# vidcaption in a container: not root, the built-in model inside, no network needed.
#
#     docker build -t vidcaption .                                      # for CPUs and NVIDIA GPUs
#     docker build -t vidcaption:cpu --build-arg TORCH_INDEX=URL .      # smaller, see below
#     docker build -t vidcaption:ray --build-arg EXTRAS=ray .           # for Ray, also by KubeRay
#     docker build -t vidcaption:serve --target serve .
#
#     docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" vidcaption run . -r --srt
#     docker run --rm --gpus all -v "$PWD:/data" vidcaption run . -r --srt
#     docker run -p 8765:8765 -e VIDCAPTION_SERVE_TOKEN vidcaption:serve
#
# TORCH_INDEX: the index of PyTorch's CPU wheels, as its installation page names it. Those of the usual index hold
# CUDA, and run on CPUs as well.

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY vidcaption vidcaption
COPY weights weights
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim AS run
ARG TORCH_INDEX=
ARG EXTRAS=serve,parquet
COPY --from=build /wheels /wheels
# OpenCV's wheel, which the extra does not choose, needs libGL and GLib.
# Versions are those that pyproject.toml allows.
# hadolint ignore=DL3008,DL3013
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && wheel=$(ls /wheels/*.whl) \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.9" "torchvision>=0.24" \
    && pip install --no-cache-dir "${wheel}[${EXTRAS}]" \
    && useradd --create-home --uid 1000 vidcaption \
    && mkdir /data && chown vidcaption /data
USER 1000
WORKDIR /data
# A user without a home, as by --user, has a place for caches.
ENV XDG_CACHE_HOME=/tmp/cache XDG_DATA_HOME=/tmp/data HF_HUB_OFFLINE=1
# Not an entry point, as Kubernetes and Ray start their own commands.
CMD ["vidcaption", "--help"]

FROM run AS serve
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/v1/health', timeout=4)"]
CMD ["vidcaption", "serve", "--host", "0.0.0.0", "--data", "/data"]

FROM run
