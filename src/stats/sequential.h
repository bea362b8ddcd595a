/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sequential.h -- looking before all is in. The p of a test with a fixed number of tasks does not survive it.
 */
#pragma once
#include <stddef.h>

/* The logarithm of an e-value on discordant pairs against a fair coin, with a Beta(A, A) mixture: Robbins, Annals of
 * Mathematical Statistics 41 (1970). Reject at any time when it reaches ln(1/alpha). */
double stats_log_e_value(size_t wins, size_t losses, double a);

/* The half-width of an asymptotic confidence sequence of a mean after T values with deviation SIGMA, narrowest at T_OPT:
 * Waudby-Smith et al., Annals of Statistics 52 (2024). RHO2 may be NULL. */
double stats_sequence_halfwidth(double t, double t_opt, double alpha, double sigma, double *rho2);
