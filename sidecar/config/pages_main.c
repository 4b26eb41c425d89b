/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Run by the build: write a page of the table of options. usage: pages manual|completion|document
 */
#include <stdio.h>
#include <string.h>

#include "sidecar/config/pages.h"

int main(int argc, char **argv)
{
    const char *page = argc == 2 ? argv[1] : "";

    if (strcmp(page, "manual") == 0)
        sona_sidecar_pages_manual(stdout);
    else if (strcmp(page, "completion") == 0)
        sona_sidecar_pages_completion(stdout);
    else if (strcmp(page, "document") == 0)
        sona_sidecar_pages_document(stdout);
    else
        return 2;
    return fflush(stdout) != 0;
}
