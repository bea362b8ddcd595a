/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * files.h -- page.css and page.js as they stand in every page; tools/embed makes the source of it. Private to this room.
 */
#pragma once

extern const char page_css[], page_js[];
