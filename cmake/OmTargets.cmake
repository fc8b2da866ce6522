# The ways of making targets, so that every folder's CMakeLists.txt is a list of files and arrows.

# Warnings for our code only; generated code and packages are SYSTEM includes.
add_library(om_warnings INTERFACE)
target_compile_options(om_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Wimplicit-fallthrough
  $<$<BOOL:${OM_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)

# Asio is all headers: every program must see it compiled one way, or its parts disagree on types.
add_library(om_asio INTERFACE)
target_compile_definitions(om_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED)

# Sanitizers apply to our code, not to generated stubs: they double the build time and find nothing.
add_library(om_sanitize INTERFACE)
if(OM_SANITIZE)
  target_compile_options(om_sanitize INTERFACE -fsanitize=${OM_SANITIZE} -fno-omit-frame-pointer)
endif()
if(OM_SANITIZE MATCHES "undefined")
  target_compile_options(om_sanitize INTERFACE -fno-sanitize-recover=undefined)
endif()
# The runtime is linked into every program, generated stubs included.
if(OM_SANITIZE)
  add_link_options(-fsanitize=${OM_SANITIZE})
endif()
if(OM_FUZZ)
  target_compile_options(om_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()

# om_library(base SOURCES a.cc a.h PUBLIC absl::status PRIVATE ZLIB::ZLIB)
# makes the static library om_base of the folder it is called in.
function(om_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(om_${name} STATIC ${ARG_SOURCES})
  target_include_directories(om_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(om_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} om_warnings om_sanitize)
endfunction()

# om_program(omctl SOURCES main.cc PRIVATE om_client)
function(om_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PRIVATE" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_PRIVATE} om_warnings om_sanitize)
endfunction()

# om_test(om_base_test SOURCES a_test.cc PRIVATE om_base LABEL unit TIMEOUT 60)
# One ctest entry a program; data files are found through OM_SOURCE_DIR. Its own sources are compiled
# without optimisation, in half the time, unless OPTIMIZED: the code under test is not concerned.
function(om_test name)
  cmake_parse_arguments(ARG "OPTIMIZED" "LABEL;TIMEOUT" "SOURCES;PRIVATE" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(NOT ARG_OPTIMIZED)
    target_compile_options(${name} PRIVATE -O0)
  endif()
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE OM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             OM_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  target_link_libraries(${name} PRIVATE ${ARG_PRIVATE} om_warnings om_sanitize GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  # Unsanitized libraries fill containers that sanitized code reads: that one check cannot be trusted here.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS ${ARG_LABEL}
    ENVIRONMENT "ASAN_OPTIONS=detect_container_overflow=0;LSAN_OPTIONS=print_suppressions=0:suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp;UBSAN_OPTIONS=print_stacktrace=1;TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")
endfunction()

# om_fuzzer(envelope SOURCES envelope_fuzz.cc PRIVATE om_wire)
# With OM_FUZZ a libFuzzer program fuzz_<name>; always a test that replays its corpus,
# tests/fuzz/corpus/<name>/*, through the same entry point.
function(om_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PRIVATE" ${ARGN})
  if(OM_FUZZ)
    add_executable(fuzz_${name} ${ARG_SOURCES})
    target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(fuzz_${name} PRIVATE ${ARG_PRIVATE} om_warnings om_sanitize)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
  add_executable(replay_${name} ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
  target_include_directories(replay_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(replay_${name} PRIVATE ${ARG_PRIVATE} om_warnings om_sanitize)
  add_test(NAME replay_${name}
           COMMAND replay_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  set_tests_properties(replay_${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
endfunction()
