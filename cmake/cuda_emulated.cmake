# SS_CUDA=emulated: the CUDA sources compiled by the host's C++ compiler against tests/cuda_emulator, so that they run
# without a GPU, under the sanitizers. A test configuration: nothing of it is ever installed.
#
#   ss_add_emulated_cuda(TARGET SOURCE...)  adds .cu files to TARGET, compiled as C++ with the emulator's headers

if(NOT CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
  # The C++ compiler that belongs to the C compiler: sanitizer run-times must not be mixed.
  get_filename_component(c_directory "${CMAKE_C_COMPILER}" DIRECTORY)
  get_filename_component(c_name "${CMAKE_C_COMPILER}" NAME)
  string(REGEX REPLACE "clang(\\+\\+)?" "clang++" cxx_name "${c_name}")
  string(REGEX REPLACE "gcc|^cc" "g++" cxx_name "${cxx_name}")
  if(EXISTS "${c_directory}/${cxx_name}")
    set(CMAKE_CXX_COMPILER "${c_directory}/${cxx_name}")
  endif()
endif()
if(CMAKE_C_COMPILER_LAUNCHER AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_C_COMPILER_LAUNCHER})
endif()
enable_language(CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")

set(ss_emulator_directory ${PROJECT_SOURCE_DIR}/tests/cuda_emulator)
file(GLOB emulator_sources CONFIGURE_DEPENDS ${ss_emulator_directory}/*.c)
list(FILTER emulator_sources EXCLUDE REGEX "/test_[^/]*\\.c$")
add_library(ss_cuda_emulator STATIC ${emulator_sources})
target_include_directories(ss_cuda_emulator PUBLIC ${ss_emulator_directory}/include)
target_compile_definitions(ss_cuda_emulator PUBLIC SS_CUDA_EMULATOR)
# The emulator is the checker, not what is checked: sanitized it would spend most of the time on itself.
set_source_files_properties(${emulator_sources} PROPERTIES COMPILE_OPTIONS "-O2;-fno-sanitize=all")
if(SS_SANITIZE MATCHES "address")
  target_compile_definitions(ss_cuda_emulator PRIVATE SS_EMULATOR_ASAN=1)
endif()
find_package(Threads REQUIRED)
target_link_libraries(ss_cuda_emulator PRIVATE ss_flags Threads::Threads m ${CMAKE_DL_LIBS})

# Checks of every access need the compiler's calls before each, which exclude AddressSanitizer's and the real thread
# sanitizer.
set(emulator_options -Wno-sign-conversion)
if(NOT SS_SANITIZE MATCHES "address|thread")
  list(APPEND emulator_options -fsanitize=thread)
  target_compile_definitions(ss_cuda_emulator PRIVATE SS_EMULATOR_ACCESS)
endif()
set(ss_emulator_options "${emulator_options}" CACHE INTERNAL "How .cu files are compiled for the emulator")

function(ss_add_emulated_cuda target)
  # Of clang's -Wconversion the part that gcc has not: threadIdx is unsigned, and kernels mix it with int everywhere.
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES
    LANGUAGE CXX COMPILE_OPTIONS "${ss_emulator_options}")
  target_sources(${target} PRIVATE ${ARGN})
  target_compile_features(${target} PRIVATE cxx_std_17) # the target may be older than enable_language above
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:ss_cuda_emulator>)
endfunction()
