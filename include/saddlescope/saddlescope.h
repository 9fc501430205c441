/* The whole public API of Saddlescope. */
#ifndef SADDLESCOPE_SADDLESCOPE_H
#define SADDLESCOPE_SADDLESCOPE_H

#include "saddlescope/context.h"
#include "saddlescope/dataset.h"
#include "saddlescope/network.h"
#include "saddlescope/objective.h"
#include "saddlescope/operator.h"
#include "saddlescope/slice.h"
#include "saddlescope/spectrum.h"
#include "saddlescope/status.h"
#include "saddlescope/tensor.h"
#include "saddlescope/verdict.h"
#include "saddlescope/follow.h"

#endif
