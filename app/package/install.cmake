# What a desktop and a shell want of the program: menu entry, icon, AppStream data; the manual page and
# completion, which the built program prints. And packages: cmake --build ... --target package.
set(APP_PACKAGE ${CMAKE_CURRENT_LIST_DIR})
set(SHARE ${CMAKE_INSTALL_DATADIR})
set(MADE ${CMAKE_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${MADE})

install(FILES ${APP_PACKAGE}/org.feavis.Feavis.desktop DESTINATION ${SHARE}/applications COMPONENT program)
install(FILES ${APP_PACKAGE}/org.feavis.Feavis.metainfo.xml DESTINATION ${SHARE}/metainfo
    COMPONENT program)
foreach(size 32 48 64 128 256)
    install(FILES ${APP_PACKAGE}/icon-${size}.png RENAME org.feavis.Feavis.png
        DESTINATION ${SHARE}/icons/hicolor/${size}x${size}/apps COMPONENT program)
endforeach()

# print NAME COMPRESS argument...: what `feavis argument...` prints, as build/package/NAME
function(print name)
    set(file ${MADE}/${name})
    add_custom_command(OUTPUT ${file}
        COMMAND $<TARGET_FILE:feavis> ${ARGN} > ${file}.part
        COMMAND ${CMAKE_COMMAND} -E rename ${file}.part ${file}
        DEPENDS feavis VERBATIM)
    set(PRINTED ${PRINTED} ${file} PARENT_SCOPE)
endfunction()
print(feavis.1 man)
foreach(shell bash zsh fish)
    print(completion.${shell} completion ${shell})
endforeach()
add_custom_command(OUTPUT ${MADE}/feavis.1.gz COMMAND gzip -9nc ${MADE}/feavis.1 > ${MADE}/feavis.1.gz
    DEPENDS ${MADE}/feavis.1 VERBATIM)
add_custom_target(printed ALL DEPENDS ${PRINTED} ${MADE}/feavis.1.gz)
install(FILES ${MADE}/feavis.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
install(FILES ${MADE}/completion.bash RENAME feavis DESTINATION ${SHARE}/bash-completion/completions
    COMPONENT program)
install(FILES ${MADE}/completion.zsh RENAME _feavis DESTINATION ${SHARE}/zsh/vendor-completions
    COMPONENT program)
install(FILES ${MADE}/completion.fish RENAME feavis.fish
    DESTINATION ${SHARE}/fish/vendor_completions.d COMPONENT program)

include(${APP_PACKAGE}/deb.cmake)
