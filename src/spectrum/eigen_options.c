/* Presets and display of the eigensolver's options. */
#include "saddlescope/spectrum.h"

#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>

void ss_eigen_options_init(ss_eigen_options *options)
{
    *options = (ss_eigen_options){ .low = 1,
                                   .high = 1,
                                   .certify_low = true,
                                   .resolution = 1e-2,
                                   .rtol_low = 1e-2,
                                   .rtol_high = 1e-2,
                                   .eta = 1e-2,
                                   .max_products = 300,
                                   .checkpoint_every = 600.0 };
}

void ss_eigen_options_pairs(ss_eigen_options *options, int64_t low, int64_t high)
{
    ss_eigen_options_init(options);
    options->low = low;
    options->high = high;
    options->certify_low = false;
    options->resolution = 0.0;
    options->rtol_low = options->rtol_high = 1e-6;
    options->max_products = 0;
    options->true_residuals = true;
}

static const char *method_name(ss_eigen_method method)
{
    return method == SS_EIGEN_AUTO ? "auto" : method == SS_EIGEN_BASIS ? "basis" : "three vectors";
}

int ss_eigen_options_display(const ss_eigen_options *o, char *text, size_t size)
{
    return snprintf(
        text, size,
        "low = %" PRId64 "\nhigh = %" PRId64 "\nbelow = %g\nabove = %g\ncertify_low = %s\n"
        "certify_high = %s\nresolution = %g\ntau = %g\nrtol_low = %g\nrtol_high = %g\neta = %g\n"
        "delta = %g\nnoise = %g\nlambda_floor = %g\nmax_products = %" PRId64 "\nmethod = %s\n"
        "basis = %" PRId64 "\nmemory = %" PRId64 "\ntrue_residuals = %s\nseed = %" PRIu64
        "\nstart = %s\nlive = %s\ncheckpoint = %s\ncheckpoint_every = %g\nresume = %s\n",
        o->low, o->high, o->below, o->above, o->certify_low ? "yes" : "no", o->certify_high ? "yes" : "no",
        o->resolution, o->tau, o->rtol_low, o->rtol_high, o->eta, o->delta, o->noise, o->lambda_floor,
        o->max_products, method_name(o->method), o->basis, o->memory, o->true_residuals ? "yes" : "no",
        o->seed, o->start != NULL ? "given" : "random", o->live != NULL ? "given" : "all",
        o->checkpoint != NULL ? o->checkpoint : "none", o->checkpoint_every, o->resume ? "yes" : "no");
}

const char *ss_eigen_reason_text(ss_eigen_reason reason)
{
    switch (reason) {
    case SS_EIGEN_RUNNING: return "running";
    case SS_EIGEN_CONVERGED: return "converged";
    case SS_EIGEN_COMPLETE: return "complete";
    case SS_EIGEN_BUDGET: return "product limit";
    case SS_EIGEN_MONITOR: return "stopped by the monitor";
    case SS_EIGEN_INTERRUPTED: return "interrupted";
    }
    return "unknown";
}
