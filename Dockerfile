# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /source
# What compiles the loop that answers over UDP; without it the image would answer in Python alone.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/gslb
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY gslb gslb
COPY edge edge
RUN /opt/gslb/bin/pip install --no-cache-dir --no-compile . \
 && rm -rf /opt/gslb/lib/python*/site-packages/pip /opt/gslb/bin/pip*

FROM python:3.13-slim
COPY --from=build /opt/gslb /opt/gslb
COPY deploy/compose/bin/ /usr/local/bin/
ENV PATH=/opt/gslb/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Where network maps are kept from one start to the next; a volume goes there.
ENV CACHE_DIRECTORY=/var/cache/gslb
RUN install --directory --owner 65532 --group 65532 /var/cache/gslb
USER 65532:65532
WORKDIR /etc/gslb
CMD ["gslb", "--help"]
