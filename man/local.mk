# SPDX-License-Identifier: MIT
dist_man_MANS += man/tenpak.1 man/tenpak-eval.1 man/tenpak-format.5 man/tenpak-jobs.1 man/tenpak-mount.1 man/tenpak-optimize.1 man/tenpak-pack.1
