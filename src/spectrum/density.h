/* The two halves of the density: running the probes (density.c) and evaluating them (density_band.c). */
#ifndef SS_SPECTRUM_DENSITY_H
#define SS_SPECTRUM_DENSITY_H

#include "spectrum/eigen.h"

void ss_density_probe_release(ss_context *context, ss_density_probe *probe);
/* Nodes and weights of a probe from its alpha, beta, once. */
ss_status ss_density_rule(ss_context *context, ss_density_probe *probe);
/* Grid, density and band from the probes. */
ss_status ss_density_evaluate(ss_density_result *result, const ss_density_options *options, double delta);

#endif
