# om_python_test(name file TIMEOUT 300): a ctest entry that runs a file of Python tests.
include_guard(GLOBAL)

function(om_python_test name file)
  cmake_parse_arguments(ARG "" "TIMEOUT" "" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  # The runner ends itself in time to clean up after itself.
  math(EXPR seconds "${ARG_TIMEOUT} - 30")
  add_test(NAME ${name} COMMAND /usr/bin/python3 -B ${CMAKE_SOURCE_DIR}/tests/support/run_tests.py ${file})
  # A sanitizer's finding must end the daemon, or nobody would hear of it.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS integration SKIP_RETURN_CODE 77
    ENVIRONMENT "OM_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};OM_REQUIRE_OMD=1;OM_SANITIZED=${OM_SANITIZE};OM_TEST_SECONDS=${seconds};OM_PROTOC=$<TARGET_FILE:protobuf::protoc>;ASAN_OPTIONS=detect_container_overflow=0:quarantine_size_mb=16:detect_leaks=1;LSAN_OPTIONS=print_suppressions=0:suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp;UBSAN_OPTIONS=print_stacktrace=1")
endfunction()
