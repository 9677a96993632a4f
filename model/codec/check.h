// SPDX-License-Identifier: Apache-2.0
// What the field tables cannot say about one kind: fields that exclude or need each other, ranges
// that depend on the family, built-in objects. Each adds its problems to the context. Internal to
// model/codec.
#pragma once

#include "model/codec/read.h"
#include "model/controllers.h"
#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::model::codec {


}  // namespace margay::model::codec
