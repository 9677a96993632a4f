# Build rules shared by every module: language, warnings, and three functions
#   margay_add_library(NAME SOURCES ... DEPS ...)      a static library `margay_NAME`
#   margay_add_executable(NAME SOURCES ... DEPS ...)
#   margay_add_test(NAME SOURCES ... DEPS ...)         a GoogleTest program, registered with ctest
# DEPS are linked publicly; name our libraries margay_*.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

option(MARGAY_SANITIZE "address;undefined or thread" "")
if(MARGAY_SANITIZE)
  foreach(s ${MARGAY_SANITIZE})
    add_compile_options(-fsanitize=${s} -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${s})
  endforeach()
endif()
option(MARGAY_FUZZ "build the fuzz targets with libFuzzer (clang)" OFF)
if(MARGAY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # the libraries guide it too
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(MARGAY_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wold-style-cast -Wnon-virtual-dtor -Werror)

function(margay_target_defaults target)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${MARGAY_WARNINGS})
endfunction()

function(margay_add_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(margay_${name} STATIC ${A_SOURCES})
  margay_target_defaults(margay_${name})
  target_link_libraries(margay_${name} PUBLIC ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
endfunction()

function(margay_add_executable name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  margay_target_defaults(${name})
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

function(margay_add_test name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  margay_target_defaults(${name})
  target_link_libraries(${name} PRIVATE ${A_DEPS} gmock gtest gtest_main Threads::Threads)
  # The code under test keeps the build's optimisation; a test's own takes more time than it gives.
  target_compile_options(${name} PRIVATE -O0)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
