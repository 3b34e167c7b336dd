#!/usr/bin/env bash
# Build dist/, check both files, and use them in an empty environment. `make package` and `make test-package` run this.
#
#     tools/check_package.sh PYTHON          installs the wheel with the pinned dependencies of stage 1, and generates a set
#     tools/check_package.sh PYTHON --full   installs the sdist with the newest dependencies and runs the quick start of
#                                            README.md; every extra must resolve
#
# PYTHON is that of an environment with pip, build, twine and setuptools.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH

rm -f dist/epochbank-*
"$python" -m build --no-isolation
"$python" -m twine check --strict dist/epochbank-*
wheel=$(echo "$PWD"/dist/epochbank-*.whl) sdist=$(echo "$PWD"/dist/epochbank-*.tar.gz)
readme=$PWD/README.md constraints=$PWD/constraints.txt
extras='import importlib.metadata as m; print(*m.metadata("epochbank").get_all("Provides-Extra"), sep="\n")'

"$python" -m venv --without-pip "$scratch/empty"
install=("$python" -m pip --python "$scratch/empty" install --quiet)
export PATH=$scratch/empty/bin:$PATH
cd "$scratch"
if [ "${2-}" = --full ]; then
  "${install[@]}" "${sdist}[train,report]"
  # The first block of commands in the README.
  awk '/^```sh$/ {block = 1; next} /^```$/ {if (block) exit} block' "$readme" > quick-start
  grep -q '^train fit' quick-start || { echo "The first sh block of README.md has no train fit." >&2; exit 1; }
  bash -euxo pipefail quick-start
  train evaluate --split test
  # FFCV, of the extra peers, is built from source and needs OpenCV.
  for extra in $(python -c "$extras" | grep -vx peers); do
    echo "resolve epochbank[$extra]"
    "${install[@]}" --dry-run "${wheel}[$extra]"
  done
else
  # Without byte code, and without compiling the engine, this takes a third of the time.
  "${install[@]}" --no-compile --constraint "$constraints" "$wheel"
  augment run digits --epochs 1 --limit 200 --jobs 2 --engine pillow
  augment verify
fi
"$python" -m pip --python "$scratch/empty" check
