# A worker of Prefect: Python, the packages of requirements.lock, git. The project itself lies in the volume /srv, where
# deploy/entrypoint.sh clones it, since versions, DVC's cache and checkpoints must outlive a container.
#   docker build -t bertline .                                                            # with torch for NVIDIA GPUs
#   docker build -t bertline --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
FROM python:3.11-slim-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make openssh-client tini \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/bertline
COPY Makefile README.md pyproject.toml requirements.lock assets.lock ./
ARG PIP_EXTRA_INDEX_URL
# The code is that of the checkout, which is not there yet.
RUN mkdir src \
    && PIP_NO_CACHE_DIR=1 make setup \
    && rm -r src \
    && ln -s /srv/project/src src

# hadolint ignore=SC2016
RUN useradd --create-home --uid 1000 bertline \
    && install --directory --owner bertline /srv \
    && git config --system user.name bertline \
    && git config --system user.email bertline@localhost \
    && git config --system credential.helper '!f() { echo username=token; echo "password=$GIT_TOKEN"; }; f'
COPY --chmod=755 deploy/entrypoint.sh /usr/local/bin/bertline-entrypoint
ENV PATH=/opt/bertline/.venv/bin:$PATH \
    HF_HOME=/srv/huggingface \
    GIT_TERMINAL_PROMPT=0

USER 1000
WORKDIR /srv
VOLUME /srv
ENTRYPOINT ["tini", "--", "bertline-entrypoint"]
CMD ["python", "-m", "flows.retrain"]
