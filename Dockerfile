# The image of one command, for those who would rather build with a container engine:
#
#   docker build --build-arg COMMAND=manager --build-arg VERSION=v0.1.0 -t tegata-manager:v0.1.0 .
#
# The project's own images are made by `make images`, which needs no engine and no base image. This file is held to
# the engine's own parser by a test, but no image of it is built or run there: try yours before you rely on it. It
# holds no SBOM, and is not the same to the byte when it is built again.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY controllers controllers
COPY internal internal
COPY cmd cmd
ARG COMMAND
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN test -n "$COMMAND" || { echo "give --build-arg COMMAND=manager, sidecar or history" >&2; exit 1; }
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -tags grpcnotrace \
    -gcflags 'k8s.io/api/...=-l' -ldflags "-s -w -buildid= -X main.version=$VERSION" -o /command "./cmd/$COMMAND"

# It has certificate authorities, and a user nonroot of the same number as in the project's own images.
FROM gcr.io/distroless/static-debian13:nonroot
COPY --from=build /command /command
USER 65532:65532
ENTRYPOINT ["/command"]
