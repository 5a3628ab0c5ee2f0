# docker build --tag retina-srm .                          the service, on a CPU
# docker build --target gpu --tag retina-srm:gpu .         the service, on an NVIDIA GPU (driver 580 or newer)
# docker build --target openvino --tag retina-srm:openvino .    the service, on an Intel CPU with OpenVINO
# docker build --target train --tag retina-srm:train .     training

# The digest names one build of Python 3.11.17 for every platform. To take a newer one, put here what this prints as `Digest`:
#   docker buildx imagetools inspect python:3.11-slim-bookworm
# `--build-arg BASE=...` builds on another base; Python must be 3.11 there.
ARG BASE=python:3.11-slim-bookworm@sha256:0a310eeecf4e1f5a0743f9a6520c90c88d089c903ca5fd283f501e3a805f5f89

FROM ${BASE} AS base

FROM base AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY service service
COPY training training
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

# The environments are filled from outside, so no pip is left in them. The packages come before the wheel: a change of
# code then leaves their layer as it is.
FROM base AS environment
RUN python -m venv --without-pip /opt/venv
WORKDIR /src

FROM environment AS cpu-environment
COPY requirements/serve.txt .
RUN pip --python /opt/venv install --no-cache-dir --require-hashes --requirement serve.txt
COPY --from=wheel /dist /dist
RUN pip --python /opt/venv install --no-cache-dir --no-deps /dist/*.whl \
    && mv /opt/venv/lib/python3.11/site-packages/models/repository /models

FROM environment AS gpu-environment
COPY requirements/serve-gpu.txt .
RUN pip --python /opt/venv install --no-cache-dir --require-hashes --requirement serve-gpu.txt
COPY --from=wheel /dist /dist
RUN pip --python /opt/venv install --no-cache-dir --no-deps /dist/*.whl \
    && mv /opt/venv/lib/python3.11/site-packages/models/repository /models

FROM environment AS openvino-environment
COPY requirements/serve-openvino.txt .
RUN pip --python /opt/venv install --no-cache-dir --require-hashes --requirement serve-openvino.txt
COPY --from=wheel /dist /dist
RUN pip --python /opt/venv install --no-cache-dir --no-deps /dist/*.whl \
    && mv /opt/venv/lib/python3.11/site-packages/models/repository /models

FROM environment AS train-environment
COPY requirements/train.txt .
RUN pip --python /opt/venv install --no-cache-dir --requirement train.txt
COPY --from=wheel /dist /dist
RUN pip --python /opt/venv install --no-cache-dir --no-deps /dist/*.whl

# Nothing below is written to at run time but /tmp and the mounted volumes. Without PYTHONSAFEPATH, `python -m` would
# import from the working directory first.
FROM base AS runtime
RUN groupadd --gid 10001 retina \
    && useradd --uid 10001 --gid retina --no-create-home --home-dir /tmp --shell /usr/sbin/nologin retina
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="retina-srm" \
      org.opencontainers.image.description="Retinal image classification with style-based recalibration. Research use; not a medical device." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS train
RUN install --directory --owner=retina --group=retina /srv/data /srv/runs
WORKDIR /srv
COPY --from=train-environment /opt/venv /opt/venv
# Decoded images outlive the container, beside the runs.
ENV RETINA_TRAINING_CACHE=/srv/runs/.cache
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

# /models is a model repository: mount another over it to serve other models, or name one in a store (s3://bucket/models),
# which is copied to /tmp/models.
FROM runtime AS serve
# It listens on every address of the container, so it asks for keys (RETINA_KEYS_FILE), an issuer or RETINA_AUTH=none.
RUN install --directory --owner=retina --group=retina --mode=0700 /keys
ENV RETINA_HOST=0.0.0.0 \
    RETINA_PORT=8000 \
    RETINA_MODEL_CACHE=/tmp/models \
    RETINA_MODEL_REPOSITORY=/models \
    RETINA_RECORDS_URL=sqlite:////records/records.db
EXPOSE 8000
RUN install --directory --owner=retina --group=retina /records
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "\
import os, ssl, urllib.request as u; \
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE; \
scheme = 'https' if os.getenv('RETINA_TLS_CERTIFICATE') else 'http'; \
url = scheme + '://127.0.0.1:' + os.environ['RETINA_PORT'] + '/v2/health/ready'; \
u.build_opener(u.ProxyHandler({}), u.HTTPSHandler(context=tls)).open(url, timeout=2)"]
ENTRYPOINT ["python", "-m", "service"]

# The driver comes from the host, the CUDA libraries from the lock file: those that onnxruntime-gpu loads and no others.
FROM serve AS gpu
ENV LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    RETINA_DEVICES=cuda:all \
    RETINA_PROVIDER=cuda \
    RETINA_WORKERS=auto
COPY --from=gpu-environment /opt/venv /opt/venv
COPY --from=gpu-environment /models /models

FROM serve AS openvino
ENV RETINA_PROVIDER=openvino
COPY --from=openvino-environment /opt/venv /opt/venv
COPY --from=openvino-environment /models /models

FROM serve AS cpu
COPY --from=cpu-environment /opt/venv /opt/venv
COPY --from=cpu-environment /models /models
