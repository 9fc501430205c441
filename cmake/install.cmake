# Installation: library, program, headers, CMake package, pkg-config file, man pages, shell completion.
include(CMakePackageConfigHelpers)

install(TARGETS saddlescope EXPORT saddlescope_targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/saddlescope DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET saddlescope_program)
  # The program finds a shared library beside itself wherever the tree is put.
  file(RELATIVE_PATH to_library ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(saddlescope_program PROPERTIES INSTALL_RPATH "$ORIGIN/${to_library}")
  install(TARGETS saddlescope_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# CMake package: find_package(saddlescope) gives saddlescope::saddlescope.
set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/saddlescope)
install(EXPORT saddlescope_targets NAMESPACE saddlescope:: FILE saddlescope-targets.cmake
  DESTINATION ${package_directory})
configure_package_config_file(cmake/saddlescope-config.cmake.in generated/saddlescope-config.cmake
  INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/saddlescope-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/saddlescope-config.cmake
  ${PROJECT_BINARY_DIR}/generated/saddlescope-config-version.cmake DESTINATION ${package_directory})

# pkg-config: a static library needs its own libraries named to everyone, a shared one brings them along.
if(BUILD_SHARED_LIBS)
  set(SS_PC_REQUIRES "")
  set(SS_PC_LIBRARIES "")
else()
  set(SS_PC_REQUIRES "jansson zlib libpcre2-8")
  set(SS_PC_LIBRARIES "${OpenMP_C_FLAGS} -lm -ldl")
  if(SS_CUDA_LINKED)
    string(APPEND SS_PC_LIBRARIES " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt -lpthread")
  endif()
endif()
# The prefix is written relative to the file, so that the installed tree may be moved.
file(RELATIVE_PATH to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
set(SS_PC_PREFIX "\${pcfiledir}/${to_prefix}")
configure_file(cmake/saddlescope.pc.in generated/saddlescope.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/saddlescope.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

file(GLOB manuals CONFIGURE_DEPENDS docs/*.1)
install(FILES ${manuals} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
foreach(file IN ITEMS saddlescope.bash _saddlescope saddlescope.fish)
  if(NOT EXISTS ${PROJECT_SOURCE_DIR}/completions/${file})
    continue()
  endif()
  if(file MATCHES "bash$")
    install(FILES completions/${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
      RENAME saddlescope)
  elseif(file MATCHES "fish$")
    install(FILES completions/${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  else()
    install(FILES completions/${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  endif()
endforeach()
