/* SPDX-License-Identifier: MIT */
/* The states of a job and their names. */
#include <config.h>

#include "control/jobs/jobs.h"

static const char *const names[TP_JOB_STATE_COUNT] = {
    [TP_JOB_PENDING] = "pending",     [TP_JOB_RUNNING] = "running",
    [TP_JOB_COMPLETED] = "completed", [TP_JOB_FAILED] = "failed",
    [TP_JOB_CANCELLED] = "cancelled", [TP_JOB_INTERRUPTED] = "interrupted",
};

const char *tp_job_state_name(enum tp_job_state state)
{
    return (unsigned)state < TP_JOB_STATE_COUNT ? names[state] : "unknown";
}

bool tp_job_state_is_end(enum tp_job_state state)
{
    return state != TP_JOB_PENDING && state != TP_JOB_RUNNING;
}
