#!/usr/bin/env bash
# check_install.sh BUILD SOURCE: installs the build into an empty directory, moves that, and builds and runs a small
# outside program against it by the CMake package and by pkg-config; every public header compiles alone, as C and
# (where there is a compiler) as C++.
set -eu
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/tree"

cmake -G Ninja -S "$source/tests/packaging/outside" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$work/tree" >"$work/log" 2>&1 &&
    cmake --build "$work/by-cmake" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/by-cmake/outside"

description=$(find "$work/tree" -name saddlescope.pc)
export PKG_CONFIG_PATH=$(dirname "$description")
library=$(pkg-config --variable=libdir saddlescope)
# shellcheck disable=SC2046
cc -std=c11 "$source/tests/packaging/outside/outside.c" -o "$work/by-pkg-config" $(pkg-config --cflags --libs saddlescope)
LD_LIBRARY_PATH=$library "$work/by-pkg-config"

headers=0
for header in "$work"/tree/include/saddlescope/*.h; do
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$work/tree/include" -fsyntax-only -x c "$header"
    if command -v c++ >/dev/null; then
        c++ -std=c++17 -Wall -Wextra -Werror -I"$work/tree/include" -fsyntax-only -x c++ "$header"
    fi
    headers=$((headers + 1))
done
echo "$headers public headers"
[ "$headers" -gt 0 ]
for file in man/man1/saddlescope.1 bash-completion/completions/saddlescope zsh/site-functions/_saddlescope \
    fish/vendor_completions.d/saddlescope.fish; do
    [ -s "$work/tree/share/$file" ] || { echo "not installed: share/$file"; exit 1; }
done
if [ -x "$build/saddlescope" ]; then
    "$work/tree/bin/saddlescope" --version
fi
