/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: there is no module loader to tell.
 */

#ifndef STAND_IN_EXPORT_H
#define STAND_IN_EXPORT_H

/* Something that may be followed by a semicolon outside of functions. */
#define EXPORT_SYMBOL(symbol)     struct stand_in_nothing
#define EXPORT_SYMBOL_GPL(symbol) struct stand_in_nothing
#define MODULE_DESCRIPTION(text)  struct stand_in_nothing
#define MODULE_LICENSE(text)      struct stand_in_nothing

#endif
