/* The smaller results as text, and eigenvalues as CSV. */
#include "report/lines.h"
#include "report/report.h"

#include <math.h>

typedef char number[SS_NUMBER_TEXT];

static void eigenvalues(ss_text *text, const char *name, const ss_eigenvalue *values, int64_t count)
{
    char both[2 * SS_NUMBER_TEXT];
    if (count == 0) ss_line_write(text, name, "none");
    for (int64_t i = 0; i < count; i++)
        ss_line_write(text, i == 0 ? name : "", "%s%s",
                      ss_uncertain_text(values[i].value, values[i].error, both),
                      values[i].converged ? "" : "  (not converged)");
}

void ss_report_eigs(ss_text *text, const ss_run *run, const ss_eigs_result *result)
{
    number a, b, c, d;
    ss_report_head(text, run);
    ss_line_write(text, "operator", "%s", result->operator_name);
    if (result->n_low > 0 || result->n_high == 0) eigenvalues(text, "lowest", result->low, result->n_low);
    if (result->n_high > 0) eigenvalues(text, "highest", result->high, result->n_high);
    if (isfinite(result->lower_bound) && isfinite(result->upper_bound))
        ss_line_write(text, "bounds",
                      "none below %s, none above %s (confidence %s each, over the start vector)",
                      ss_number_text(result->lower_bound, 4, a), ss_number_text(result->upper_bound, 4, b),
                      ss_percent_text(result->confidence, c));
    ss_line_write(text, "search", "%s after %s products, %lld restarts, %s", result->reason,
                  ss_count_text(result->products, a), (long long)result->restarts,
                  ss_duration_text(result->seconds, d));
}

void ss_report_hessian(ss_text *text, const ss_run *run, const ss_hessian_result *result)
{
    number a, b, c, d;
    char   low[2 * SS_NUMBER_TEXT], high[2 * SS_NUMBER_TEXT];
    ss_report_head(text, run);
    ss_line_write(text, "operator", "%s, dense", result->operator_name);
    ss_line_write(text, "eigenvalues", "lowest %s, highest %s, trace %s",
                  ss_uncertain_text(result->values[0], result->error, low),
                  ss_uncertain_text(result->values[result->n - 1], result->error, high),
                  ss_number_text(result->trace, 6, a));
    ss_line_write(text, "inertia", "%s negative, %s within +-%s, %s positive",
                  ss_count_text(result->negative, a), ss_count_text(result->zero, b),
                  ss_number_text(result->tau, 2, c), ss_count_text(result->positive, d));
    ss_line_write(text, "asymmetry", "%s of the largest entry", ss_number_text(result->asymmetry, 2, a));
    ss_line_write(text, "time", "%s: products %s, eigensolver %s", ss_duration_text(result->seconds, a),
                  ss_duration_text(result->seconds_operator, b), ss_duration_text(result->seconds_eigen, c));
    ss_report_picture(text, result->values, NULL, result->n, result->tau);
}

void ss_report_device(ss_text *text, const char *name, const char *description, int64_t memory_free,
                      int threads)
{
    number a;
    ss_line_write(text, "device", "%s: %s; %s free; %d threads", name, description,
                  ss_bytes_text(memory_free, a), threads);
}

void ss_report_info(ss_text *text, const ss_run *run, const ss_info_result *result)
{
    number a, b, c, d;
    char   guess[SS_GUESS_TEXT];
    ss_report_head(text, run);
    ss_line_write(text, "loss", "%s, lowest possible %s", ss_report_guess_text(run, guess),
                  ss_number_text(run->facts.lower_bound, 6, b));
    if (result->planned_for)
        ss_line_write(text, "planned for", "%s", result->planned_for);
    else
        ss_report_device(text, run->device, run->device_description, result->memory_free, run->threads);
    ss_text_print(text, "\n%-36s %-16s %-5s %12s %10s\n", "parameter", "shape", "type", "elements", "decay");
    for (int64_t i = 0; i < result->n_parameters; i++) {
        const ss_info_parameter *p = &result->parameters[i];
        ss_text_print(text, "%-36s %-16s %-5s %12s %10s%s\n", p->name, p->shape, p->type,
                      ss_count_text(p->count, a), ss_number_text(p->decay, 3, b),
                      p->offset >= 0 ? "" : (p->trainable ? "  frozen" : "  constant"));
    }
    ss_text_print(text, "\n%-9s %-12s %-7s %-9s %6s %8s %10s %9s %9s %11s %11s\n", "product", "kept",
                  "logits", "precision", "lanes", "batch", "GFLOP", "ratio", "time", "cache", "peak");
    for (int64_t i = 0; i < result->n_plans; i++) {
        const ss_info_plan *p = &result->plans[i];
        ss_text_print(text, "%-9s %-12s %-7s %-9s %6d %8lld %10s %9.2f %9s %11s %11s%s\n", p->product,
                      p->cache, p->plan.keep_logits ? "kept" : "-", p->precision, p->plan.lanes,
                      (long long)p->plan.micro_batch, ss_number_text(p->plan.flops_body * 1e-9, 4, a),
                      p->ratio, isfinite(p->seconds) ? ss_duration_text(p->seconds, b) : "-",
                      ss_bytes_text(p->plan.bytes_cache, c), ss_bytes_text(p->plan.bytes_peak, d),
                      p->plan.stream_weights ? "  weights streamed" : "");
    }
    ss_text_print(
        text,
        "\nkept: between products; GFLOP, time: of a product, the time estimated from that of a gradient%s;\n"
        "ratio: flops of a product to those of a gradient; peak: memory of the program; weights streamed: "
        "each\n"
        "is brought in before its use, because they do not fit beside it\n",
        result->planned_for ? " at the assumed rate" : "");
    ss_line_write(text, "basis", "of a search: up to %lld vectors, %s, %s", (long long)result->basis,
                  ss_bytes_text(result->basis_bytes, a),
                  result->basis_on_host ? "in host memory (pinned): they do not fit beside the program"
                                        : "in the device's memory");
    ss_text_print(text, "\n%-12s %10s %12s\n", "resolution", "products", "time");
    for (int64_t i = 0; i < result->n_efforts; i++) {
        const ss_info_effort *e = &result->efforts[i];
        ss_text_print(text, "%-12s %10s %12s\n", ss_percent_text(e->resolution, a),
                      ss_count_text(e->products, b),
                      isfinite(e->seconds) ? ss_duration_text(e->seconds, c) : "-");
    }
    ss_text_print(
        text,
        "\nproducts: enough with probability 0.99 for a random start, whatever the spectrum; often a third\n"
        "will do; time: an estimate, with the confirmation in float64\n");
}

static void rows(ss_text *text, const char *end, const ss_eigenvalue *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        ss_text_print(text, "%s,%lld,%.17g,%.3g,%d\n", end, (long long)i, values[i].value, values[i].error,
                      values[i].converged ? 1 : 0);
}

void ss_report_eigs_csv(ss_text *text, const ss_eigs_result *result)
{
    ss_text_print(text, "end,index,value,error,converged\n");
    rows(text, "low", result->low, result->n_low);
    rows(text, "high", result->high, result->n_high);
}
