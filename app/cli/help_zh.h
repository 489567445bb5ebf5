/* What commands and flags are for, in Chinese, by the names of their tables. */
#ifndef APP_HELP_ZH_H
#define APP_HELP_ZH_H

const char *help_zh_command(const char *command); /* NULL: it is not said */
const char *help_zh(const char *flag);            /* the same */
const char *help_zh_group(const char *group);     /* as it is, if it is not said */

#endif
