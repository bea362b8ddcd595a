/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * porter.h -- `rollouts-node porter`: what a supervisor has done beside its poll loop, since it takes time: packing what a trial needs,
 * and unpacking what came back. It stands in the data folder; lines of JSON go in and come out, one for one and in order:
 *
 *   {"op":"pack","dir":D,"keys":F,      {"event":"packed","dir":D,"inputs":[...]}    travel.json is there, see inputs.h
 *    "door":F}
 *   {"op":"unpack","dir":D,"archive":F, {"event":"unpacked","dir":D}                 result.json came last; not where the engine
 *    "cancelled":bool,"stopped":bool,                                               stopped the trial and nobody cancelled it
 *    "committed":bool}
 *   either                              {"event":"failed","dir":D,"text":T,"retry":bool}
 */
#pragma once

/* Serve until standard input ends. Returns the exit status. */
int porter_serve(void);
