# dashseg serve, from a clone:  docker build -t dashseg .
# Run it:  docker run -p 127.0.0.1:8000:8000 -v "$PWD/token:/run/secrets/token:ro" dashseg
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# PyTorch for CPUs: the usual wheel brings gigabytes of CUDA. For GPUs, build with an empty value.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dashseg
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN if [ -n "$TORCH_INDEX" ]; then \
      /opt/dashseg/bin/pip install -c constraints.txt --index-url "$TORCH_INDEX" torch; \
    fi && \
    /opt/dashseg/bin/pip install -c constraints.txt '.[serve,deploy]' && \
    find /opt/dashseg -name __pycache__ -prune -exec rm -rf {} +

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --create-home dashseg
COPY --from=build /opt/dashseg /opt/dashseg
ENV PATH=/opt/dashseg/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/dashseg
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-c", \
  "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
ENTRYPOINT ["dashseg"]
CMD ["serve", "small", "--host", "0.0.0.0", "--token-file", "/run/secrets/token"]
