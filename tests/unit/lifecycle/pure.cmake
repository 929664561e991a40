# The lifecycle is pure: its library needs no symbol that allocates, reads a clock, draws a number or does I/O.
# cmake -DNM=nm -DLIBRARY=libreeve_lifecycle.a -P pure.cmake
execute_process(COMMAND ${NM} -u ${LIBRARY} OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
if(failed OR NOT symbols MATCHES "reeve_state_text")
  message(FATAL_ERROR "${NM} -u ${LIBRARY} gives nothing to look at")
endif()
string(REGEX MATCHALL "U [A-Za-z0-9_]+" needed "${symbols}")
foreach(symbol IN LISTS needed)
  string(SUBSTRING "${symbol}" 2 -1 name)
  if(name MATCHES "^(__)?(reeve_clock_.*|reeve_log.*|time|clock_gettime|gettimeofday|.*alloc|free|strdup|asprintf|rand.*|random|getrandom|getenv|open.*|fopen.*|read|write|printf|fprintf|puts|printf_chk|fprintf_chk|uv_.*)$")
    message(SEND_ERROR "lifecycle must not need ${name}")
  endif()
endforeach()
