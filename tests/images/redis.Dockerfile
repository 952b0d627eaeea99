# Stands in for the registry's Redis image: Debian's Redis, in the same folder, under the same name.
FROM debian
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server
# a new volume mounted at /data inherits this owner
RUN install --directory --owner redis --group redis /data
WORKDIR /data
USER redis
