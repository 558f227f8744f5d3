# What Hawser is to its user: the targets of plain `make` and what `make install` installs. Called at the very end of the
# configuration, when every room has said what it builds.
#
#   build tree            installed below PREFIX
#   bin/hawser            bin/hawser
#   bin/hawserd           bin/hawserd
#   lib/librdmacm.so.1    lib/hawser/librdmacm.so.1     (not lib/: Debian's own libraries stay what programs find)
#   lib/libibverbs.so.1   lib/hawser/libibverbs.so.1
#   lib/libhawser.so.0    lib/hawser/libhawser.so.0
#   include/hawser        include/hawser, lib/pkgconfig/hawser.pc, lib/cmake/hawser
set(HAWSER_PRODUCT_PROGRAMS hawser hawserd)
set(HAWSER_PRODUCT_LIBRARIES rdmacm ibverbs)

add_custom_target(product)     # plain `make`
add_custom_target(libraries)   # what the clang build of `make check` needs: every room, production and simulated
add_custom_target(unit_tests)  # what the sanitizer builds need: every program named …_test or …explore

function(hawser_finish_product)
  foreach(target IN LISTS HAWSER_PRODUCT_PROGRAMS)
    if(TARGET ${target})
      add_dependencies(product ${target})
      install(TARGETS ${target} RUNTIME DESTINATION bin)
    endif()
  endforeach()
  foreach(target IN LISTS HAWSER_PRODUCT_LIBRARIES)
    if(TARGET ${target})
      add_dependencies(product ${target})
      install(TARGETS ${target} LIBRARY DESTINATION lib/hawser)
    endif()
  endforeach()
  hawser_install_cxx_interface()
  hawser_collect_unit_tests(${CMAKE_SOURCE_DIR})
endfunction()

# Headers, and how programs find them and the library: pkg-config hawser, find_package(hawser). Both relocatable.
function(hawser_install_cxx_interface)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/hawser DESTINATION include)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/hawser.pc.in ${CMAKE_BINARY_DIR}/hawser.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/hawser.pc DESTINATION lib/pkgconfig)
  include(CMakePackageConfigHelpers)
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/hawserConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_SOURCE_DIR}/cmake/hawserConfig.cmake ${CMAKE_BINARY_DIR}/hawserConfigVersion.cmake
          DESTINATION lib/cmake/hawser)
endfunction()

function(hawser_collect_unit_tests folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL EXECUTABLE AND target MATCHES "(_test|explore)$")
      add_dependencies(unit_tests ${target})
    endif()
  endforeach()
  get_property(subfolders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(subfolder IN LISTS subfolders)
    hawser_collect_unit_tests(${subfolder})
  endforeach()
endfunction()

cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL hawser_finish_product)
