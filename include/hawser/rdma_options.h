/* Options of an rdma_cm_id that only Hawser has, for rdma_set_option(). Elsewhere they fail with ENOSYS.
 *
 *   uint8_t retries = 3;
 *   rdma_set_option(id, HAWSER_OPTION_LEVEL, HAWSER_OPTION_CM_RETRIES, &retries, sizeof retries);
 *
 * They count from the next rdma_connect() on. EINVAL: another length, or a value beyond the limit. The environment
 * variables HAWSER_CM_RESPONSE_TIMEOUT, HAWSER_CM_RETRIES and HAWSER_CM_REPORT_UNREACHABLE set them for all ids of a
 * process. */
#ifndef HAWSER_RDMA_OPTIONS_H
#define HAWSER_RDMA_OPTIONS_H

enum {
  HAWSER_OPTION_LEVEL = 0x4857,
};

enum {
  /* uint8_t, at most 31: how long each transmission of a request waits for its answer, 4.096 us * 2^n. Default 20. */
  HAWSER_OPTION_CM_RESPONSE_TIMEOUT = 1,
  /* uint8_t, at most 15: how often a request is repeated. Default 15. */
  HAWSER_OPTION_CM_RETRIES = 2,
  /* int: whether RDMA_CM_EVENT_UNREACHABLE with status -ECONNREFUSED comes at once when the other host says (by ICMP)
   * that it has no RDMA stack. Default 0: the request is repeated until its retries are exhausted. */
  HAWSER_OPTION_CM_REPORT_UNREACHABLE = 3,
};

#endif
