# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
# The node, its programs and ROS 2 Jazzy.
#   docker build -t atom_tracker .                               on the CPU, with OpenVINO
#   docker build -t atom_tracker:cuda --build-arg COMPUTE=cuda . on an NVIDIA GPU; run with --gpus all
# docs/docker.md tells how to run it.
FROM ros:jazzy-ros-base-noble
ARG COMPUTE=cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# The image's user, uid 1000, builds and runs everything.
ENV HOME=/home/ubuntu VIRTUAL_ENV=/home/ubuntu/venv WORKSPACE=/home/ubuntu/ws
WORKDIR ${WORKSPACE}

# What package.xml asks for. No version is pinned: Ubuntu's and ROS's archives keep the newest only. A robot has no screen, so
# RViz stays out; with CUDA, pip brings PyTorch.
COPY package.xml src/atom_tracker/package.xml
# hadolint ignore=DL3008
RUN case "${COMPUTE}" in \
      cpu) skipped="" ;; \
      cuda) skipped="python3-torch python3-torchvision" ;; \
      *) echo "COMPUTE is '${COMPUTE}'; expected cpu or cuda" >&2; exit 1 ;; \
    esac \
    && apt-get update \
    && apt-get install -y --no-install-recommends python3-pip python3-venv \
    && { [ -f /etc/ros/rosdep/sources.list.d/20-default.list ] || rosdep init; } \
    && rosdep update --rosdistro "${ROS_DISTRO}" \
    && rosdep install --from-paths src --ignore-src --rosdistro "${ROS_DISTRO}" -y \
         --skip-keys "rviz2 rviz_default_plugins ${skipped}" \
    && rm -rf /var/lib/apt/lists/* \
    && chown -R ubuntu:ubuntu "${HOME}"

USER 1000:1000
COPY --chown=ubuntu:ubuntu requirements/docker.txt requirements/docker_cuda.txt src/atom_tracker/requirements/
RUN python3 -m venv --system-site-packages "${VIRTUAL_ENV}" \
    && pins=src/atom_tracker/requirements \
    && "${VIRTUAL_ENV}/bin/pip" install --no-cache-dir --requirement "${pins}/docker.txt" \
    && if [ "${COMPUTE}" = cuda ]; then \
         "${VIRTUAL_ENV}/bin/pip" install --no-cache-dir --upgrade --requirement "${pins}/docker_cuda.txt"; \
       fi

COPY --chown=ubuntu:ubuntu . src/atom_tracker
RUN . "/opt/ros/${ROS_DISTRO}/setup.bash" \
    && colcon build --packages-select atom_tracker \
         --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=${VIRTUAL_ENV}/bin/python3"

COPY --chown=ubuntu:ubuntu --chmod=755 tools/docker_entrypoint.bash /home/ubuntu/entrypoint.bash
ENTRYPOINT ["/home/ubuntu/entrypoint.bash"]
CMD ["ros2", "launch", "atom_tracker", "tracker.launch.py"]
