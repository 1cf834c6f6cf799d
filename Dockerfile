# The main job in a container, on the CPU:
#
#   docker build --tag amulet .
#   docker run --rm amulet
#   docker run --rm --user "$(id -u)" --volume "$PWD:/work" amulet \
#     amulet run attack=evasion_pgd        # results in ./outputs
#
# Build arguments, which uv and pip read: another build of torch with --build-arg UV_TORCH_BACKEND=cu128; a mirror of
# the package index with --build-arg UV_DEFAULT_INDEX=... --build-arg PIP_INDEX_URL=...
FROM python:3.12-slim AS build
ARG UV_TORCH_BACKEND=cpu
ARG UV_DEFAULT_INDEX
ARG PIP_INDEX_URL
WORKDIR /src
# hadolint ignore=DL3013
RUN pip install --no-cache-dir uv && uv venv /opt/amulet
# Dependencies first: a change of the code does not install them again.
COPY pyproject.toml constraints.txt ./
RUN uv pip install --no-cache --python /opt/amulet -c constraints.txt -r pyproject.toml
COPY . .
RUN uv pip install --no-cache --python /opt/amulet --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/amulet /opt/amulet
ENV PATH=/opt/amulet/bin:$PATH
# Any user may write to /work, so that `--user` can name the owner of a mounted folder.
RUN useradd --create-home --uid 10001 amulet && mkdir --mode=1777 /work
WORKDIR /work
USER 10001
CMD ["amulet", "run", "defense=adv_training", "attack=model_extraction", "dataset=census"]
