# Build rules shared by every module: language, warnings, and four functions
#   margay_add_library(NAME SOURCES ... DEPS ...)      a static library `margay_NAME`
#   margay_add_executable(NAME SOURCES ... DEPS ...)
#   margay_add_test(NAME SOURCES ... DEPS ...)         a GoogleTest program, registered with ctest
#   margay_add_fuzz(NAME CORPUS dir DEPS ...)          the fuzz target NAME_fuzz.cpp over its corpus
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
  set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")  # a stack's lines are all that a report needs
  foreach(s ${MARGAY_SANITIZE})
    add_compile_options(-fsanitize=${s} -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${s})
  endforeach()
  if("thread" IN_LIST MARGAY_SANITIZE)
    # ThreadSanitizer knows no fences; Asio's stand beside locks that it knows.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()
option(MARGAY_FUZZ "build the fuzz targets with libFuzzer (clang)" OFF)
if(MARGAY_FUZZ)
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
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
  # The code under test keeps the build's optimisation and checks; a test's own take more time than
  # they give.
  target_compile_options(${name} PRIVATE -O0 -fno-sanitize=undefined)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# With MARGAY_FUZZ: the libFuzzer program NAME_fuzz (run it with its corpus folder). Otherwise the
# test NAME_replay: the corpus, and many small changes to it, through the same code. REPLAY: a
# program's main of its own, that knows how to change the corpus and keep it near validity.
function(margay_add_fuzz name)
  cmake_parse_arguments(A "" "CORPUS;REPLAY" "DEPS" ${ARGN})
  if(MARGAY_FUZZ)
    margay_add_executable(${name}_fuzz SOURCES ${name}_fuzz.cpp DEPS ${A_DEPS})
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
    return()
  endif()
  if(NOT A_REPLAY)
    set(A_REPLAY ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cpp)
  endif()
  margay_add_executable(${name}_replay SOURCES ${name}_fuzz.cpp ${A_REPLAY} DEPS ${A_DEPS})
  set_target_properties(${name}_replay PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name}_replay COMMAND ${name}_replay ${CMAKE_CURRENT_SOURCE_DIR}/${A_CORPUS})
endfunction()
