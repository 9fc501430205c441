# Installation: library, program, headers, CMake package, pkg-config file, man page, shell completion.
include(CMakePackageConfigHelpers)
