#!/bin/sh
# Installs the system packages that a build needs: a C++ compiler, libclang for RocksDB's bindings, CMake, OpenSSL and libcurl for librdkafka.
# Does nothing when they are there.
set -eu

command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer, then run this again" >&2; exit 3; }

missing=""
command -v c++ >/dev/null || missing="$missing build-essential"
# bindgen looks for libclang where llvm-config says, in the library path, and in these folders. libclang-cpp is another library.
found=$(ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib/libclang*.so* /usr/lib64/libclang*.so* 2>/dev/null \
  | grep -v libclang-cpp | head -n 1) || true
[ -n "$found" ] || [ -n "${LIBCLANG_PATH:-}" ] || missing="$missing libclang-dev"
command -v cmake >/dev/null || missing="$missing cmake"
command -v pkg-config >/dev/null || missing="$missing pkg-config"
for package in libssl:libssl-dev zlib:zlib1g-dev libcurl:libcurl4-openssl-dev; do
  pkg-config --exists "${package%%:*}" 2>/dev/null || missing="$missing ${package##*:}"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
  echo "these packages are missing (their Debian names):$missing. Install them, then run this again" >&2
  exit 3
fi
if [ "$(id -u)" = 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive $install
else
  echo "packages are missing. Run this, then again what you ran:" >&2
  echo "  sudo apt-get update && sudo $install" >&2
  exit 3
fi
