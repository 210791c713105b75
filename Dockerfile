# The wheel is built in one stage and installed in the next: the image has no checkout, and no links.
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 boom \
    && install --directory --owner boom /data
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels boom-streams
USER boom
WORKDIR /data
ENV BOOM_DATA_DIR=/data
VOLUME /data
ENTRYPOINT ["boom-streams"]
CMD ["up"]
