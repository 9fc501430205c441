#include "cli/commands.h"
ss_status ss_command_track(ss_context *context, const ss_settings *settings, int *exit_status)
{ (void)context; (void)settings; (void)exit_status; return SS_OK; }
