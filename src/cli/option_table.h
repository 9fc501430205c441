/* The option table: every option of the command line stands here once. Parsing, --help, the man page and the
 * shell completions are generated from it; nothing is kept in step by hand.
 *
 * A row: identifier, name without dashes, argument ("" = a flag), kind, commands that
 * take it, group in the help, least and greatest value of a number, choices of SS_KIND_CHOICE, default
 * (parsed like an argument; NULL = absent), what it does. */
#ifndef SS_CLI_OPTION_TABLE_H
#define SS_CLI_OPTION_TABLE_H

/* The subcommands: identifier, name, operands, function, one line, a paragraph for the man page. */
/* clang-format off */
#define SS_COMMAND_TABLE(row) \
    row(ANALYZE, "analyze", "NETWORK", ss_command_analyze, \
        "slope, saddle, minimum, flat or noise: the verdict, with evidence", \
        "Judges the point at which the weights lie. Two independent statements, stationarity and curvature, are " \
        "followed by what is left to gain, by one sentence that says why the loss has stopped falling, and by " \
        "the label. A saddle is proved by a direction and by the loss along it; the absence of negative " \
        "curvature is bounded with a stated confidence.") \
    row(EIGS, "eigs", "NETWORK", ss_command_eigs, \
        "extreme eigenvalues with error bars", \
        "Lowest and highest eigenvalues, or all below a bound, by two-sided thick-restart Lanczos. Every value " \
        "is printed with the residual that bounds its error.") \
    row(HVP, "hvp", "NETWORK", ss_command_hvp, \
        "one product of the operator and a vector", \
        "Multiplies the Hessian (or --operator) by the vector of a file or by a seeded random vector, exactly.") \
    row(GRADIENT, "gradient", "NETWORK", ss_command_gradient, \
        "loss and gradient", \
        "Computes the loss and its gradient over the whole data set.") \
    row(HESSIAN, "hessian", "NETWORK", ss_command_hessian, \
        "dense Hessian and full spectrum of a small network", \
        "Forms the n x n matrix by n products, writes it and prints all of its eigenvalues.") \
    row(INFO, "info", "NETWORK", ss_command_info, \
        "objective, parameters, plans with memory and flops", \
        "Says what was understood of network and data, and what a product would cost, without computing one.") \
    row(BENCH, "bench", "NETWORK", ss_command_bench, \
        "timings of loss, gradient and products, in CSV", \
        "Times loss, gradient, Hessian and Gauss-Newton products, interleaved. With --interactive it prints " \
        "`ready`, runs one of hvp, ggn, gradient, loss for each line of standard input, and answers with its " \
        "seconds; `quit` ends it.")

#define SS_ON(command) (1u << SS_COMMAND_##command)
#define SS_ON_ALL      ((1u << SS_COMMAND_COUNT) - 1u)
#define SS_ON_PRODUCTS (SS_ON(ANALYZE) | SS_ON(EIGS) | SS_ON(HVP) | SS_ON(HESSIAN) | SS_ON(INFO))

#define SS_OPTION_TABLE(row) \
    /* objective */ \
    row(DATA, "data", "DATA", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "x.safetensors | x.npz | images-idx3[.gz],labels-idx1[.gz]; unneeded when NETWORK is a folder with data.safetensors") \
    row(WEIGHTS, "weights", "FILE", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "weights of a network.json, safetensors with torch state_dict names (default: weights.safetensors beside it)") \
    row(LOSS, "loss", "NAME", CHOICE, SS_ON_ALL, OBJECTIVE, 0, 0, "mse|cross_entropy|bce_with_logits", NULL, \
        "loss, a mean over the counted targets of the whole data set") \
    row(WEIGHT_DECAY, "weight-decay", "[GLOB=]X", TEXTS, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "adds X/2 ||w||^2 for the parameters that match GLOB (default all); repeatable, later ones win") \
    row(LABEL_SMOOTHING, "label-smoothing", "X", REAL, SS_ON_ALL, OBJECTIVE, 0, 0.999999999, NULL, "0", \
        "label smoothing of cross_entropy, in [0, 1)") \
    row(CLASS_WEIGHTS, "class-weights", "FILE", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "weights of the classes: a JSON list, .npy or .safetensors") \
    row(EXPECT_LOSS, "expect-loss", "X[:RTOL]", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "fail with status 3 before the first product if the loss is not X within RTOL (1e-4)") \
    row(SCALE, "scale", "X", RATIO, SS_ON_ALL, OBJECTIVE, -1e30, 1e30, NULL, NULL, \
        "for unsigned bytes: x = X * byte + SHIFT (no default: say 1/255 for pixels in [0, 1])") \
    row(SHIFT, "shift", "X", RATIO, SS_ON_ALL, OBJECTIVE, -1e30, 1e30, NULL, "0", \
        "for unsigned bytes: see --scale") \
    /* samples */ \
    row(SAMPLES, "samples", "N", INTEGER, SS_ON_ALL, SAMPLES, 1, 9e15, NULL, NULL, \
        "use N samples, drawn without replacement (default: all)") \
    row(SAMPLE_SEED, "sample-seed", "S", INTEGER, SS_ON_ALL, SAMPLES, 0, 9e15, NULL, "0", \
        "seed of --samples and of the groups behind the sampling errors") \
    row(BATCH_SIZE, "batch-size", "B", INTEGER, SS_ON_ALL, SAMPLES, 1, 9e15, NULL, NULL, \
        "largest micro-batch; changes memory and speed, never the result beyond rounding (default: planned)") \
    /* choice */ \
    row(OPERATOR, "operator", "NAME", CHOICE, SS_ON_PRODUCTS, CHOICE, 0, 0, \
        "hessian|ggn|fisher|fisher-mc|residual", "hessian", \
        "ggn: Gauss-Newton; fisher: empirical; fisher-mc: labels drawn from the model; residual: Hessian - ggn") \
    row(PARAMETERS, "parameters", "GLOB", TEXTS, SS_ON_ALL, CHOICE, 0, 0, NULL, NULL, \
        "only the parameters that match; repeatable") \
    row(EXCLUDE_PARAMETERS, "exclude-parameters", "GLOB", TEXTS, SS_ON_ALL, CHOICE, 0, 0, NULL, NULL, \
        "freeze the parameters that match; repeatable, wins over --parameters") \
    row(LOW, "low", "K", INTEGER, SS_ON(EIGS), CHOICE, 0, 10000, NULL, NULL, \
        "the K lowest eigenvalues") \
    row(HIGH, "high", "K", INTEGER, SS_ON(EIGS), CHOICE, 0, 10000, NULL, NULL, \
        "the K highest eigenvalues") \
    row(BELOW, "below", "X", REAL, SS_ON(EIGS), CHOICE, -1e300, 1e300, NULL, NULL, \
        "all eigenvalues below X (negative)") \
    row(VECTOR, "vector", "FILE", TEXT, SS_ON(HVP), CHOICE, 0, 0, NULL, NULL, \
        "vector to multiply: safetensors, one tensor per parameter, named like the weights") \
    row(RANDOM, "random", "SEED", INTEGER, SS_ON(HVP), CHOICE, 0, 9e15, NULL, NULL, \
        "multiply a vector of independent standard normal numbers instead") \
    row(PLAN, "plan", "", FLAG, SS_ON(INFO), CHOICE, 0, 0, NULL, NULL, \
        "print the steps of the program") \
    row(FOR, "for", "GPU", TEXT, SS_ON(INFO), MACHINE, 0, 0, NULL, NULL, \
        "plan for a GPU that is not here: h100-80g, h200, a100-40g, a100-80g, or a memory size; times are estimates") \
    row(INTERACTIVE, "interactive", "", FLAG, SS_ON(BENCH), CHOICE, 0, 0, NULL, NULL, \
        "run what standard input asks for, one line each") \
    row(REPEAT, "repeat", "N", INTEGER, SS_ON(BENCH), CHOICE, 1, 100000, NULL, "11", \
        "rounds; medians and quartiles are printed") \
    /* effort */ \
    row(RESOLUTION, "resolution", "X", REAL, SS_ON(ANALYZE), EFFORT, 1e-15, 1, NULL, NULL, \
        "curvature above -X times the largest |eigenvalue| counts as none (default 0.01; on the dense path tau)") \
    row(CONFIDENCE, "confidence", "P", REAL, SS_ON(ANALYZE), EFFORT, 0.5, 0.999999999, NULL, "0.99", \
        "confidence of the bound on absent negative curvature") \
    row(MAX_PRODUCTS, "max-products", "N", INTEGER, SS_ON(ANALYZE) | SS_ON(EIGS), EFFORT, 1, 1e9, NULL, "300", \
        "budget: a product counts 1, a gradient 1/2, a loss 1/6") \
    row(TIME_LIMIT, "time-limit", "TIME", TIME, SS_ON(ANALYZE) | SS_ON(EIGS), EFFORT, 0.001, 1e9, NULL, NULL, \
        "stop after about TIME (90s, 10m, 2h) with what is known then") \
    row(DENSE_LIMIT, "dense-limit", "N", INTEGER, SS_ON(ANALYZE), EFFORT, 0, 1e6, NULL, "4096", \
        "up to N parameters the whole Hessian is formed and the answer is exact") \
    row(TAU, "tau", "X", REAL, SS_ON(ANALYZE) | SS_ON(HESSIAN), EFFORT, 0, 1e300, NULL, NULL, \
        "eigenvalues within X of zero have no sign (default: three times the operator's measured error)") \
    row(CRITICAL, "critical", "X", REAL, SS_ON(ANALYZE), EFFORT, 0, 1e300, NULL, "0.001", \
        "critical when a Newton step promises at most X of the loss") \
    row(CRITICAL_GRADIENT, "critical-gradient", "X", REAL, SS_ON(ANALYZE), EFFORT, 0, 1e300, NULL, NULL, \
        "critical when ||g|| <= X instead") \
    row(TOLERANCE, "tolerance", "X", REAL, SS_ON(EIGS), EFFORT, 1e-14, 1, NULL, "1e-6", \
        "stop at residuals below X times the eigenvalue") \
    /* machine */ \
    row(DEVICE, "device", "NAME", TEXT, SS_ON_ALL, MACHINE, 0, 0, NULL, "cpu", \
        "cpu | cpu-check (slow, finds memory faults) | cuda[:i]") \
    row(PRECISION, "precision", "NAME", CHOICE, SS_ON_ALL, MACHINE, 0, 0, "auto|fp64|fp32|tf32", "auto", \
        "of the products; auto: fp64 below a million parameters, else fp32") \
    row(MEMORY, "memory", "SIZE", SIZE, SS_ON_ALL, MACHINE, 1e6, 9e18, NULL, NULL, \
        "memory to use (2G, 500M; default: what is free)") \
    row(THREADS, "threads", "N", INTEGER, SS_ON_ALL, MACHINE, 1, 65536, NULL, NULL, \
        "threads (default: the processors of this process)") \
    row(SEED, "seed", "S", INTEGER, SS_ON_ALL, MACHINE, 0, 9e15, NULL, "0", \
        "seed of start vectors, of mlp: weights and of drawn labels") \
    /* files */ \
    row(JSON, "json", "FILE", TEXT, SS_ON_ALL & ~SS_ON(BENCH), FILES, 0, 0, NULL, NULL, \
        "write the result as JSON (schema saddlescope/1); there from the first minute, replaced as work goes on") \
    row(OUTPUT, "output", "FILE", TEXT, SS_ON_ALL & ~SS_ON(INFO), FILES, 0, 0, NULL, NULL, \
        "analyze, eigs, bench: the text (eigs: a table when it ends in .csv); hvp, gradient: the vector (safetensors); hessian: the matrix (.npy)") \
    row(SAVE_VECTORS, "save-vectors", "FILE", TEXT, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 0, NULL, NULL, \
        "write the directions found (witness, Ritz vectors): safetensors, one tensor per parameter and vector") \
    row(CHECKPOINT, "checkpoint", "FILE", TEXT, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 0, NULL, NULL, \
        "keep a checkpoint, up to date after every product") \
    row(CHECKPOINT_EVERY, "checkpoint-every", "TIME", TIME, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 1e9, NULL, "10m", \
        "how often the basis is saved too; between, it is replayed") \
    row(RESUME, "resume", "", FLAG, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 0, NULL, NULL, \
        "go on from the checkpoint if it is there, to the last digit") \
    row(QUIET, "quiet", "", FLAG, SS_ON_ALL, FILES, 0, 0, NULL, NULL, \
        "no progress, no warnings") \
    row(VERBOSE, "verbose", "", FLAG, SS_ON_ALL, FILES, 0, 0, NULL, NULL, \
        "say what is being done, and errors in detail") \
    row(EXPECT, "expect", "LABEL", CHOICE, SS_ON(ANALYZE), FILES, 0, 0, \
        "saddle|minimum|maximum|not_critical|inconclusive", NULL, \
        "exit with 4 if the verdict is another one, with 5 if it is inconclusive") \
    row(HELP, "help", "", FLAG, SS_ON_ALL, FILES, 0, 0, NULL, NULL, \
        "print the options of the command")
/* clang-format on */

#endif
