# How parts of the tree become targets. Sources are listed by hand.

# reeve_add_part(dir): a folder with a CMakeLists.txt of its own.
function(reeve_add_part dir)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${dir}/CMakeLists.txt)
    add_subdirectory(${CMAKE_SOURCE_DIR}/${dir} ${CMAKE_BINARY_DIR}/${dir})
  endif()
endfunction()

# reeve_add_module(<layer> SOURCES ... DEPS reeve::core ...): one static library per layer, alias reeve::<layer>.
function(reeve_add_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(reeve_${name} STATIC ${ARG_SOURCES})
  add_library(reeve::${name} ALIAS reeve_${name})
  target_link_libraries(reeve_${name} PUBLIC reeve_flags ${ARG_DEPS})
endfunction()

# reeve_add_program(<name> SOURCES ... DEPS ...): an executable in bin/.
function(reeve_add_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE reeve_flags ${ARG_DEPS})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# reeve_add_test(<name> LABEL unit|property|fault|fuzz SOURCES ... DEPS ... [TIMEOUT s]): a cmocka program that is a test.
function(reeve_add_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(NOT ARG_LABEL)
    message(FATAL_ERROR "test ${name} has no LABEL")
  endif()
  add_executable(test-${name} ${ARG_SOURCES})
  target_link_libraries(test-${name} PRIVATE reeve_flags ${ARG_DEPS} PkgConfig::CMOCKA)
  set_target_properties(test-${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${ARG_LABEL}.${name} COMMAND test-${name})
  set_tests_properties(${ARG_LABEL}.${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()
