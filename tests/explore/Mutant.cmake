# hawser_mutant(PATCH): builds hawser-explore-mutant-NAME from a copy of the sources with the patch applied, and a test that
# passes only if the mutant is found where the unchanged sources are clean (check_mutant.py; the patch's head says with
# which scenario and strategy). A patch that does not apply fails the build.
#
# Only the files that the patch touches are copied. A .cpp file is compiled into the program, whose objects come before the
# libraries, so that the linker has no use for the original. With a header, everything explored is compiled again, with
# the copy before the original in the search path. Not in a unity
# build, whose objects hold the mutated file's neighbours too.
function(hawser_mutant PATCH)
  if(HAWSER_UNITY)
    return()
  endif()
  get_filename_component(name ${PATCH} NAME_WE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PATCH})
  file(STRINGS ${PATCH} touched REGEX "^\\+\\+\\+ b/src/")
  list(TRANSFORM touched REPLACE "^\\+\\+\\+ b/src/([^\t ]+).*$" "\\1")
  if(NOT touched)
    message(FATAL_ERROR "${PATCH}: touches no file of src/")
  endif()

  set(copy ${CMAKE_CURRENT_BINARY_DIR}/mutants/${name})
  list(TRANSFORM touched PREPEND ${CMAKE_SOURCE_DIR}/src/ OUTPUT_VARIABLE originals)
  list(TRANSFORM touched PREPEND ${copy}/src/ OUTPUT_VARIABLE copies)
  add_custom_command(
    OUTPUT ${copies}
    COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/apply_mutant.py ${CMAKE_SOURCE_DIR} ${PATCH} ${copy}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/apply_mutant.py ${PATCH} ${originals}
    COMMENT "Applying mutant ${name}")

  set(program hawser-explore-mutant-${name})
  set(sources ${copies})
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  if(touched MATCHES "\\.hpp")
    hawser_explored_sources(everything ${explored_libraries})
    list(REMOVE_ITEM everything ${originals})
    list(APPEND sources ${scenario_sources} ${everything})
    set(libraries ${explored_libraries} CLI11::CLI11)
  else()
    set(libraries explore_scenarios)
  endif()
  add_executable(${program} ${sources})
  target_include_directories(${program} BEFORE PRIVATE ${copy}/src)
  target_link_libraries(${program} PRIVATE ${libraries})
  hawser_use_headers(${program})
  add_custom_target(${program}-sources DEPENDS ${copies})
  add_dependencies(${program} ${program}-sources)
  add_dependencies(explore_programs ${program})

  add_test(NAME explore.mutant.${name}
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/check_mutant.py ${PATCH}
                   $<TARGET_FILE:hawser-explore> $<TARGET_FILE:${program}>)
  set_tests_properties(explore.mutant.${name} PROPERTIES LABELS explore TIMEOUT 600)

  file(STRINGS ${PATCH} no_race REGEX "^Race: no")
  if(NOT no_race)
    hawser_mutant_unit_tests(${name} "${touched}")
  endif()
endfunction()

# For `make explore`: the ordinary unit tests of the rooms that the mutant touches, and of those above them that test these
# rooms too, with the mutated files in place of the original ones: mutants/NAME/ROOM_test. A race passes them.
function(hawser_mutant_unit_tests NAME TOUCHED)
  list(TRANSFORM TOUCHED REPLACE "/.*" "" OUTPUT_VARIABLE rooms)
  list(REMOVE_DUPLICATES rooms)
  set(copy ${CMAKE_CURRENT_BINARY_DIR}/mutants/${NAME}/src)
  if("ucm" IN_LIST rooms)
    hawser_mutant_ucm_test(${NAME} "${TOUCHED}")
    list(FILTER TOUCHED EXCLUDE REGEX "^ucm/")
  endif()
  if(NOT TOUCHED)
    return()
  elseif(TOUCHED MATCHES "\\.hpp")
    message(FATAL_ERROR "${NAME}: of a mutated header only ucm's unit test is built")
  endif()
  list(TRANSFORM TOUCHED PREPEND ${copy}/)
  add_library(mutant-${NAME} OBJECT EXCLUDE_FROM_ALL ${TOUCHED})
  target_include_directories(mutant-${NAME} BEFORE PRIVATE ${copy})
  target_link_libraries(mutant-${NAME} PRIVATE hawser_api)
  hawser_use_headers(mutant-${NAME})
  add_dependencies(mutant-${NAME} hawser-explore-mutant-${NAME}-sources)

  set(tested ${rooms} cma api)
  set(below)
  foreach(room IN ITEMS runtime addr cm cma api)  # from the bottom: each test links what is before it
    list(APPEND below ${room})
    set(linked ${below})
    list(REMOVE_ITEM linked api)
    if(NOT TARGET ${room}_test OR NOT room IN_LIST tested)
      continue()
    endif()
    list(JOIN linked "|" pattern)
    hawser_mutant_unit_test(${NAME} ${room}
      $<TARGET_OBJECTS:${room}_test> $<FILTER:$<TARGET_OBJECTS:mutant-${NAME}>,INCLUDE,/src/\(${pattern}\)/>)
  endforeach()
endfunction()

# ucm's test is made of the room's own sources and a connection manager that does what the test says.
function(hawser_mutant_ucm_test NAME TOUCHED)
  if(NOT TARGET ucm_test)
    return()
  endif()
  set(sources ${TOUCHED})
  list(FILTER sources INCLUDE REGEX "^ucm/")
  if(sources MATCHES "\\.hpp")  # whatever may include it
    file(GLOB sources RELATIVE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/ucm/*.cpp)
  endif()
  set(objects $<TARGET_OBJECTS:ucm_test>)
  set(compiled)
  foreach(source IN LISTS sources)
    string(REPLACE "." "\\." pattern /${source}.o)
    set(objects $<FILTER:${objects},EXCLUDE,${pattern}$>)
    if(source IN_LIST TOUCHED)
      list(APPEND compiled ${CMAKE_CURRENT_BINARY_DIR}/mutants/${NAME}/src/${source})
    else()
      list(APPEND compiled ${CMAKE_SOURCE_DIR}/src/${source})
    endif()
  endforeach()
  hawser_mutant_unit_test(${NAME} ucm ${compiled} ${objects})
endfunction()

function(hawser_mutant_unit_test NAME ROOM)
  set(program ${ROOM}_test-mutant-${NAME})
  add_executable(${program} EXCLUDE_FROM_ALL ${ARGN})
  get_target_property(libraries ${ROOM}_test LINK_LIBRARIES)
  get_target_property(folders ${ROOM}_test INCLUDE_DIRECTORIES)
  if(folders)
    target_include_directories(${program} BEFORE PRIVATE ${folders})
  endif()
  target_include_directories(${program} BEFORE PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/mutants/${NAME}/src)
  target_link_libraries(${program} PRIVATE ${libraries})
  hawser_use_test_headers(${program})
  set_target_properties(${program} PROPERTIES OUTPUT_NAME ${ROOM}_test
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/mutants/${NAME})
  add_dependencies(${program} hawser-explore-mutant-${NAME}-sources)
  add_dependencies(explore_unit_programs ${program})
endfunction()

# The sources of *_sim libraries and of the *_sim libraries below them.
function(hawser_explored_sources RESULT)
  set(found)
  foreach(library IN LISTS ARGN)
    get_target_property(type ${library} TYPE)
    if(NOT type STREQUAL INTERFACE_LIBRARY)
      get_target_property(sources ${library} SOURCES)
      list(APPEND found ${sources})
    endif()
    get_target_property(below ${library} INTERFACE_LINK_LIBRARIES)
    list(FILTER below INCLUDE REGEX "^hawser_[a-z]+_sim$")
    if(below)
      hawser_explored_sources(more ${below})
      list(APPEND found ${more})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES found)
  set(${RESULT} ${found} PARENT_SCOPE)
endfunction()
