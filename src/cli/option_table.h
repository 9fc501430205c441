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
    row(POLISH, "polish", "NETWORK", ss_command_polish, \
        "to the nearby critical point, whatever its index, and the verdict there", \
        "Newton-MR steps over the whole data set reduce the norm of the gradient, not the loss, so that a saddle " \
        "stays a saddle. Says how far the weights moved, how the loss and the inertia changed, and whether it " \
        "stalled where the gradient lies in the kernel of the Hessian; then gives the verdict at the polished " \
        "point.") \
    row(ESCAPE, "escape", "NETWORK", ss_command_escape, \
        "out of a saddle along its negative curvature, with a search on the true loss", \
        "Follows the witness of the verdict both ways, doubling the step while the real decrease is at least half " \
        "of the predicted one, and writes the new checkpoint in the format of the old. With --until-minimum a " \
        "trust-region Newton method goes on until the verdict is a minimum.") \
    row(STUDY, "study", "NETWORK", ss_command_study, \
        "many networks taken to critical points: training loss against minimum ratio", \
        "Trains the network from many seeds (and with many widths), takes each point to where the gradient " \
        "vanishes, and records loss, inertia, minimum ratio and verdict. A column says how each ended: only " \
        "critical points count; gradient_flat ones stalled in the kernel of the Hessian, escaping ones run to " \
        "infinity.") \
    row(TRACK, "track", "NETWORK", ss_command_track, \
        "the checkpoints of a run: loss, gradient, extreme curvature, verdict, overlap of top subspaces", \
        "Follows the Hessian along a run, with the same samples and start vectors at every checkpoint, beside the " \
        "curvature at which the optimizer becomes unstable. A broken checkpoint is reported and skipped.") \
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
    row(DENSITY, "density", "NETWORK", ss_command_density, \
        "the distribution of all eigenvalues, with rigorous bounds", \
        "Stochastic Lanczos quadrature: the share of eigenvalues below every x lies between two curves, with a stated " \
        "confidence over the random start vectors; a smoothed density for the eye; raw nodes and weights in CSV and " \
        "JSON. A stopped run delivers what it knows; there is no checkpoint.") \
    row(TRACE, "trace", "NETWORK", ss_command_trace, \
        "trace and Frobenius norm, with error bars", \
        "Hutchinson's estimator, deflated by Ritz vectors whose part is exact, with a Student interval over the " \
        "probes. The Frobenius norm comes with the same products. A stopped run delivers what it knows; there is no " \
        "checkpoint.") \
    row(SLICE, "slice", "NETWORK", ss_command_slice, \
        "the true loss beside its second-order model, along one or two directions", \
        "Evaluates the loss on a line or over a plane through the weights, spanned by eigenvectors, the gradient, " \
        "random or given directions, or towards another checkpoint, and the Taylor model of gradient and Hessian at " \
        "the same points: what the curvature means, and how far. Everything is computed in float64.") \
    row(INFO, "info", "[NETWORK]", ss_command_info, \
        "objective, parameters, plans with memory and flops", \
        "Says what was understood of network and data, and what a product would cost, without computing one. Without " \
        "NETWORK: the device, its libraries and its free memory.") \
    row(BENCH, "bench", "NETWORK", ss_command_bench, \
        "timings of loss, gradient and products, in CSV", \
        "Times loss, gradient, Hessian and Gauss-Newton products, interleaved. With --interactive it prints " \
        "`ready`, runs one of hvp, ggn, gradient, loss for each line of standard input, and answers with its " \
        "seconds; `quit` ends it.")

#define SS_ON(command) (1u << SS_COMMAND_##command)
#define SS_ON_ALL      ((1u << SS_COMMAND_COUNT) - 1u)
#define SS_ON_PRODUCTS (SS_ON(ANALYZE) | SS_ON(EIGS) | SS_ON(HVP) | SS_ON(HESSIAN) | SS_ON(DENSITY) | SS_ON(TRACE) | SS_ON(INFO))
#define SS_ON_TABLE    (SS_ON(STUDY) | SS_ON(TRACK))
#define SS_ON_VERDICT  (SS_ON(ANALYZE) | SS_ON(POLISH) | SS_ON(ESCAPE) | SS_ON_TABLE)

#define SS_OPTION_TABLE(row) \
    /* objective */ \
    row(DATA, "data", "DATA", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "x.safetensors | x.npz | images-idx3[.gz],labels-idx1[.gz] | tokens .npy/.bin | .txt; unneeded when NETWORK is a folder with data.safetensors") \
    row(WEIGHTS, "weights", "FILE", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "weights of a network.json, safetensors with torch state_dict names (default: weights.safetensors beside it); of a transformer or an adapter, in place of the folder's") \
    row(LOSS, "loss", "NAME", CHOICE, SS_ON_ALL, OBJECTIVE, 0, 0, "mse|cross_entropy|bce_with_logits|causal_lm|masked_lm", NULL, \
        "loss, a mean over the counted targets of the whole data set (default: what the network was made for)") \
    row(WEIGHT_DECAY, "weight-decay", "[GLOB=]X", TEXTS, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "adds X/2 ||w||^2 for the parameters that match GLOB (default all); repeatable, later ones win (study of a network without objective.json: 0.001)") \
    row(LABEL_SMOOTHING, "label-smoothing", "X", REAL, SS_ON_ALL, OBJECTIVE, 0, 0.999999999, NULL, "0", \
        "label smoothing of cross_entropy, in [0, 1)") \
    row(CLASS_WEIGHTS, "class-weights", "FILE", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "weights of the classes: a JSON list, .npy or .safetensors") \
    row(INIT_RANDOM, "init-random", "SEED", INTEGER, SS_ON_ALL, OBJECTIVE, 0, 9e15, NULL, NULL, \
        "transformers: start all weights at random as the configuration says, whatever is stored") \
    row(INIT_MISSING, "init-missing", "NAME:SEED", TEXTS, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "transformers: start the missing tensor NAME, or those of module NAME, at random; repeatable") \
    row(BASE, "base", "MODEL", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "the model that a LoRA adapter changes (default: the one its configuration names)") \
    row(EXPECT_LOSS, "expect-loss", "X[:RTOL]", TEXT, SS_ON_ALL, OBJECTIVE, 0, 0, NULL, NULL, \
        "fail with status 3 before the first product if the loss is not X within RTOL (1e-4)") \
    row(SCALE, "scale", "X", RATIO, SS_ON_ALL, OBJECTIVE, -1e30, 1e30, NULL, NULL, \
        "for unsigned bytes: x = X * byte + SHIFT (no default: say 1/255 for pixels in [0, 1])") \
    row(SHIFT, "shift", "X", RATIO, SS_ON_ALL, OBJECTIVE, -1e30, 1e30, NULL, "0", \
        "for unsigned bytes: see --scale") \
    row(SEQUENCE_LENGTH, "sequence-length", "T", INTEGER, SS_ON_ALL, OBJECTIVE, 1, 9e15, NULL, NULL, \
        "cut a stream of token ids into sequences of T") \
    row(STRIDE, "stride", "S", INTEGER, SS_ON_ALL, OBJECTIVE, 1, 9e15, NULL, NULL, \
        "from the start of a sequence to that of the next (default: T)") \
    row(TOKEN_DTYPE, "token-dtype", "TYPE", CHOICE, SS_ON_ALL, OBJECTIVE, 0, 0, "uint16|uint32|int32|int64", NULL, \
        "type of the token ids of a raw file that does not say it") \
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
    row(BLOCKS, "blocks", "WHAT", CHOICE, SS_ON(ANALYZE), CHOICE, 0, 0, "tensor|module|layer", NULL, \
        "also the extreme eigenvalues of every diagonal block: one tensor, module or layer at a time") \
    row(VECTOR, "vector", "FILE", TEXT, SS_ON(HVP), CHOICE, 0, 0, NULL, NULL, \
        "vector to multiply: safetensors, one tensor per parameter, named like the weights") \
    row(RANDOM, "random", "SEED", INTEGER, SS_ON(HVP), CHOICE, 0, 9e15, NULL, NULL, \
        "multiply a vector of independent standard normal numbers instead") \
    row(ALONG, "along", "WHAT", TEXTS, SS_ON(SLICE), CHOICE, 0, 0, NULL, NULL, \
        "direction: low[:K], high[:K] (eigenvectors), gradient, random[:SEED] or FILE.safetensors[:NAME] (a vector); twice for a plane (default low)") \
    row(TOWARDS, "towards", "WEIGHTS", TEXT, SS_ON(SLICE), CHOICE, 0, 0, NULL, NULL, \
        "the first direction leads to the weights of this file, which lie at 1") \
    row(PATH, "path", "WEIGHTS", TEXTS, SS_ON(SLICE), CHOICE, 0, 0, NULL, NULL, \
        "mark these weights, projected, one after the other from the network's own; repeatable") \
    row(RANGE, "range", "X", REAL, SS_ON(SLICE), CHOICE, 1e-300, 1e300, NULL, NULL, \
        "show +-X along directions of unit length (default: three times as far as the model is good to a tenth)") \
    row(PLAN, "plan", "", FLAG, SS_ON(INFO), CHOICE, 0, 0, NULL, NULL, \
        "print the steps of the program") \
    row(FOR, "for", "GPU", TEXT, SS_ON(INFO), MACHINE, 0, 0, NULL, NULL, \
        "plan for a GPU that is not here: h100-80g, h200, a100-40g, a100-80g, or a memory size; times are estimates") \
    row(INTERACTIVE, "interactive", "", FLAG, SS_ON(BENCH), CHOICE, 0, 0, NULL, NULL, \
        "run what standard input asks for, one line each") \
    row(VECTORS, "vectors", "K", INTEGER, SS_ON(ESCAPE), CHOICE, 1, SS_ESCAPE_VECTORS, NULL, "1", \
        "directions to try: the witness, further lowest eigenvectors, and all of them together; the one that gains most is followed") \
    row(UNTIL_MINIMUM, "until-minimum", "", FLAG, SS_ON(ESCAPE), CHOICE, 0, 0, NULL, NULL, \
        "go on with a trust-region Newton method until the verdict is a minimum or the budget ends") \
    row(WIDTHS, "widths", "LIST", TEXT, SS_ON(STUDY), CHOICE, 0, 0, NULL, NULL, \
        "widths of the hidden layers of an mlp: network, 2,4,8 or 2..8 (default: as the network says)") \
    row(SEEDS, "seeds", "LIST", TEXT, SS_ON(STUDY), CHOICE, 0, 0, NULL, "0..99", \
        "seeds of the initial weights, one point each: 0..199 or 1,5,9; a seed also chooses scale and length of the descent") \
    row(CHECKPOINTS, "checkpoints", "GLOB", TEXTS, SS_ON(TRACK), CHOICE, 0, 0, NULL, NULL, \
        "weights files, or folders that hold them (weights.safetensors, or as Hugging Face names them), in natural order of their names; repeatable") \
    row(SUBSPACE, "subspace", "K", INTEGER, SS_ON(TRACK), CHOICE, 1, 1000, NULL, "5", \
        "highest eigenvectors whose span is compared between neighbours") \
    row(LR, "lr", "X|FILE", TEXT, SS_ON(TRACK), CHOICE, 0, 0, NULL, NULL, \
        "learning rate, or a trainer_state.json that logs it: draws the stability threshold") \
    row(OPTIMIZER, "optimizer", "NAME", CHOICE, SS_ON(TRACK), CHOICE, 0, 0, "gd|momentum|adam", "gd", \
        "whose threshold: 2/lr, (2 + 2 b)/lr, (2 + 2 b)/((1 - b) lr)") \
    row(MOMENTUM, "momentum", "B", REAL, SS_ON(TRACK), CHOICE, 0, 0.999999, NULL, "0.9", \
        "b of momentum or adam (its first beta)") \
    row(PRECONDITION, "precondition", "FILE", TEXT, SS_ON(TRACK), CHOICE, 0, 0, NULL, NULL, \
        "diagonal P > 0, safetensors named like the weights: the top of P^-1/2 H P^-1/2 too; a file of that name in a checkpoint's folder is taken first") \
    row(REPEAT, "repeat", "N", INTEGER, SS_ON(BENCH), CHOICE, 1, 100000, NULL, "11", \
        "rounds; medians and quartiles are printed") \
    /* effort */ \
    row(RESOLUTION, "resolution", "X", REAL, SS_ON_VERDICT, EFFORT, 1e-15, 1, NULL, NULL, \
        "curvature above -X times the largest |eigenvalue| counts as none (default 0.01; on the dense path tau)") \
    row(CONFIDENCE, "confidence", "P", REAL, SS_ON_VERDICT | SS_ON(DENSITY) | SS_ON(TRACE), EFFORT, 0.5, 0.999999999, NULL, "0.99", \
        "confidence of the bound on absent negative curvature, of the band (density), of the intervals (trace)") \
    row(MAX_PRODUCTS, "max-products", "N", INTEGER, SS_ON_VERDICT | SS_ON(EIGS) | SS_ON(SLICE), EFFORT, 1, 1e9, NULL, "300", \
        "budget: a product counts 1, a gradient 1/2, a loss 1/6") \
    row(TIME_LIMIT, "time-limit", "TIME", TIME, SS_ON_VERDICT | SS_ON(EIGS) | SS_ON(DENSITY) | SS_ON(TRACE), EFFORT, 0.001, 1e9, NULL, NULL, \
        "stop after about TIME (90s, 10m, 2h) with what is known then") \
    row(DENSE_LIMIT, "dense-limit", "N", INTEGER, SS_ON_VERDICT, EFFORT, 0, 1e6, NULL, "4096", \
        "up to N parameters the whole Hessian is formed and the answer is exact") \
    row(CONFIRM_SAMPLES, "confirm-samples", "N", INTEGER, SS_ON_VERDICT, EFFORT, 1, 9e15, NULL, NULL, \
        "run the float64 confirmations on N samples drawn by --sample-seed (default: all; with float64 products no effect)") \
    row(TAU, "tau", "X", REAL, SS_ON_VERDICT | SS_ON(HESSIAN), EFFORT, 0, 1e300, NULL, NULL, \
        "eigenvalues within X of zero have no sign (default: three times the operator's measured error)") \
    row(CRITICAL, "critical", "X", REAL, SS_ON_VERDICT, EFFORT, 0, 1e300, NULL, "0.001", \
        "critical when a Newton step promises at most X of the loss") \
    row(CRITICAL_GRADIENT, "critical-gradient", "X", REAL, SS_ON_VERDICT, EFFORT, 0, 1e300, NULL, NULL, \
        "critical when ||g|| <= X instead") \
    row(POLISH, "polish", "K", INTEGER, SS_ON(ANALYZE), EFFORT, 1, 100000, NULL, NULL, \
        "first at most K Newton-MR steps to the nearby critical point; the verdict is that of the polished point") \
    row(TOLERANCE, "tolerance", "X", REAL, SS_ON(EIGS) | SS_ON(TRACK), EFFORT, 1e-14, 1, NULL, "1e-6", \
        "stop at residuals below X times the eigenvalue") \
    row(PROBES, "probes", "N", INTEGER, SS_ON(DENSITY) | SS_ON(TRACE), EFFORT, 1, 1e6, NULL, NULL, \
        "random start vectors (default: density 1, trace 30)") \
    row(STEPS, "steps", "K", INTEGER, SS_ON(DENSITY) | SS_ON(POLISH), EFFORT, 1, 1e6, NULL, NULL, \
        "density: Lanczos steps of each probe (default 100); polish: Newton-MR steps, at most (default 10)") \
    row(WIDTH, "width", "X", REAL, SS_ON(DENSITY), EFFORT, 1e-300, 1e300, NULL, NULL, \
        "standard deviation of the Gaussian kernel, in units of curvature (default: a hundredth of the range found)") \
    row(POINTS, "points", "N", INTEGER, SS_ON(DENSITY) | SS_ON(SLICE), EFFORT, 2, 1e6, NULL, NULL, \
        "points of the curves (default: density 400, slice 81), along each side of a plane (default 31)") \
    row(DEFLATE, "deflate", "K", INTEGER, SS_ON(TRACE), EFFORT, 0, 10000, NULL, NULL, \
        "Ritz vectors whose part of the trace is exact, found by 2 K + 10 products (default: up to 10, as memory and probes allow)") \
    /* machine */ \
    row(DEVICE, "device", "NAME", TEXT, SS_ON_ALL, MACHINE, 0, 0, NULL, "cpu", \
        "cpu | cpu-check (slow, finds memory faults) | cuda[:i]") \
    row(PRECISION, "precision", "NAME", CHOICE, SS_ON_ALL, MACHINE, 0, 0, "auto|fp64|fp32|tf32", "auto", \
        "of the products; auto: fp64 below a million parameters, else fp32") \
    row(MEMORY, "memory", "SIZE", SIZE, SS_ON_ALL, MACHINE, 1e6, 9e18, NULL, NULL, \
        "memory to use (2G, 500M; default: what is free)") \
    row(CACHE, "cache", "PLAN", CHOICE, SS_ON_ALL, MACHINE, 0, 0, "auto|all|activations|nothing|checkpoints", "auto", \
        "what is kept between products, as info lists it; less memory for more flops (default: all that fits)") \
    row(THREADS, "threads", "N", INTEGER, SS_ON_ALL, MACHINE, 1, 65536, NULL, NULL, \
        "threads (default: the processors of this process)") \
    row(JOBS, "jobs", "N", INTEGER, SS_ON(STUDY), MACHINE, 1, 4096, NULL, NULL, \
        "points at a time, one thread each (default: --threads; 1 on a GPU)") \
    row(SEED, "seed", "S", INTEGER, SS_ON_ALL, MACHINE, 0, 9e15, NULL, "0", \
        "seed of start vectors, of mlp: weights and of drawn labels") \
    /* files */ \
    row(JSON, "json", "FILE", TEXT, SS_ON_ALL & ~SS_ON(BENCH), FILES, 0, 0, NULL, NULL, \
        "write the result as JSON (schema saddlescope/1); there from the first minute, replaced as work goes on") \
    row(OUTPUT, "output", "FILE", TEXT, SS_ON_ALL & ~SS_ON(INFO), FILES, 0, 0, NULL, NULL, \
        "analyze, eigs, density, trace, slice, bench: the text (when it ends in .csv: eigs and slice a table, density the raw nodes and weights); hvp, gradient: the vector (safetensors); hessian: the matrix (.npy); escape, polish: the new checkpoint; study, track: the table (CSV)") \
    row(PLOT, "plot", "FILE", TEXT, SS_ON(DENSITY) | SS_ON(SLICE) | SS_ON_TABLE, FILES, 0, 0, NULL, NULL, \
        "draw a picture: .svg; .gp, a gnuplot script with its data; .png by gnuplot, with the script beside it") \
    row(BAND, "band", "FILE", TEXT, SS_ON(DENSITY), FILES, 0, 0, NULL, NULL, \
        "write the curves as CSV: x, density, bounds for the start vectors and for the eigenvalues") \
    row(HTML, "html", "FILE", TEXT, SS_ON_VERDICT | SS_ON(DENSITY) | SS_ON(TRACE) | SS_ON(SLICE), FILES, 0, 0, NULL, NULL, \
        "write a report that explains every line, with pictures: one HTML file that refers to nothing outside") \
    row(SAVE_VECTORS, "save-vectors", "FILE", TEXT, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 0, NULL, NULL, \
        "write the directions found (witness, Ritz vectors): safetensors, one tensor per parameter and vector") \
    row(SAVE_WEIGHTS, "save-weights", "FOLDER", TEXT, SS_ON(STUDY), FILES, 0, 0, NULL, NULL, \
        "write the weights of every point there, point-W-S.safetensors for width W and seed S") \
    row(CHECKPOINT, "checkpoint", "FILE", TEXT, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 0, NULL, NULL, \
        "keep a checkpoint, up to date after every product") \
    row(CHECKPOINT_EVERY, "checkpoint-every", "TIME", TIME, SS_ON(ANALYZE) | SS_ON(EIGS), FILES, 0, 1e9, NULL, "10m", \
        "how often the basis is saved too; between, it is replayed") \
    row(RESUME, "resume", "", FLAG, SS_ON(ANALYZE) | SS_ON(EIGS) | SS_ON_TABLE, FILES, 0, 0, NULL, NULL, \
        "go on from the checkpoint (study, track: from the rows of --output) if it is there, to the last digit") \
    row(QUIET, "quiet", "", FLAG, SS_ON_ALL, FILES, 0, 0, NULL, NULL, \
        "no progress, no warnings") \
    row(VERBOSE, "verbose", "", FLAG, SS_ON_ALL, FILES, 0, 0, NULL, NULL, \
        "say what is being done, and errors in detail") \
    row(EXPECT, "expect", "LABEL", CHOICE, SS_ON(ANALYZE) | SS_ON(POLISH) | SS_ON(ESCAPE), FILES, 0, 0, \
        "saddle|minimum|maximum|not_critical|inconclusive", NULL, \
        "exit with 4 if the verdict is another one, with 5 if it is inconclusive") \
    row(HELP, "help", "", FLAG, SS_ON_ALL, FILES, 0, 0, NULL, NULL, \
        "print the options of the command")
/* clang-format on */

#endif
