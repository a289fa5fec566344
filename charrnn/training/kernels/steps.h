/* The steps of each cell, and a sum of rows, for one type of gates, NUMBER; included by cells.c
 * once for each type.
 *
 * All arrays hold `rows` rows, except `inputs`: row r reads the row at[r] of it. Gates lie as torch
 * has them: i, f, g, o for an LSTM; r, z, n for a GRU. A forward step adds what comes from the state
 * (products) and from the input, and leaves activations; a backward step turns the activations in
 * place into the gradients of the gates before their sigmoids and hyperbolic tangents.
 */

#define LOAD(x) TYPED(load, NUMBER)(x)
#define STORE(x) TYPED(store, NUMBER)(x)

void TYPED(lstm_forward, NUMBER)(
    long rows, long units,
    const NUMBER *restrict products,    /* (rows, 4 units) */
    const NUMBER *restrict inputs,      /* (..., 4 units) */
    const int64_t *restrict at,
    NUMBER *restrict activations,       /* (rows, 4 units) */
    const float *restrict cells_before, /* (rows, units), as are the rest */
    float *restrict cells,
    NUMBER *restrict hidden)
{
    for (long row = 0; row < rows; row++) {
        const NUMBER *input = inputs + at[row] * 4 * units;
#pragma GCC ivdep
        for (long k = 0; k < units; k++) {
            float i = sigmoid(LOAD(products[k]) + LOAD(input[k]));
            float f = sigmoid(LOAD(products[units + k]) + LOAD(input[units + k]));
            float g = hyperbolic(LOAD(products[2 * units + k]) + LOAD(input[2 * units + k]));
            float o = sigmoid(LOAD(products[3 * units + k]) + LOAD(input[3 * units + k]));
            float c = f * cells_before[k] + i * g;
            activations[k] = STORE(i);
            activations[units + k] = STORE(f);
            activations[2 * units + k] = STORE(g);
            activations[3 * units + k] = STORE(o);
            cells[k] = c;
            hidden[k] = STORE(o * hyperbolic(c));
        }
        products += 4 * units;
        activations += 4 * units;
        cells_before += units;
        cells += units;
        hidden += units;
    }
}

void TYPED(lstm_backward, NUMBER)(
    long rows, long units,
    const NUMBER *restrict d_hidden,    /* (rows, units) */
    NUMBER *restrict gates,             /* (rows, 4 units): activations in, gradients out */
    const float *restrict cells_before, /* (rows, units), as are the rest */
    const float *restrict cells,
    float *restrict d_cells)            /* of this step in, of the step before out */
{
    for (long row = 0; row < rows; row++) {
#pragma GCC ivdep
        for (long k = 0; k < units; k++) {
            float i = LOAD(gates[k]);
            float f = LOAD(gates[units + k]);
            float g = LOAD(gates[2 * units + k]);
            float o = LOAD(gates[3 * units + k]);
            float t = hyperbolic(cells[k]);
            float dh = LOAD(d_hidden[k]);
            float dc = d_cells[k] + dh * o * (1.0f - t * t);
            gates[k] = STORE(dc * g * i * (1.0f - i));
            gates[units + k] = STORE(dc * cells_before[k] * f * (1.0f - f));
            gates[2 * units + k] = STORE(dc * i * (1.0f - g * g));
            gates[3 * units + k] = STORE(dh * t * o * (1.0f - o));
            d_cells[k] = dc * f;
        }
        gates += 4 * units;
        cells_before += units;
        cells += units;
        d_hidden += units;
        d_cells += units;
    }
}

void TYPED(gru_forward, NUMBER)(
    long rows, long units,
    const NUMBER *restrict products,    /* (rows, 3 units) */
    const NUMBER *restrict inputs,      /* (..., 3 units) */
    const int64_t *restrict at,
    const float *restrict bias,         /* (units): of the candidate's product */
    NUMBER *restrict activations,       /* (rows, 3 units) */
    NUMBER *restrict candidates,        /* (rows, units): the candidate's product, bias included */
    float *restrict state,              /* (rows, units): before in, after out */
    NUMBER *restrict hidden)            /* (rows, units) */
{
    for (long row = 0; row < rows; row++) {
        const NUMBER *input = inputs + at[row] * 3 * units;
#pragma GCC ivdep
        for (long k = 0; k < units; k++) {
            float m = LOAD(products[2 * units + k]) + bias[k];
            float r = sigmoid(LOAD(products[k]) + LOAD(input[k]));
            float z = sigmoid(LOAD(products[units + k]) + LOAD(input[units + k]));
            float n = hyperbolic(r * m + LOAD(input[2 * units + k]));
            float h = n + z * (state[k] - n);
            activations[k] = STORE(r);
            activations[units + k] = STORE(z);
            activations[2 * units + k] = STORE(n);
            candidates[k] = STORE(m);
            state[k] = h;
            hidden[k] = STORE(h);
        }
        products += 3 * units;
        activations += 3 * units;
        candidates += units;
        state += units;
        hidden += units;
    }
}

void TYPED(gru_backward, NUMBER)(
    long rows, long units,
    const NUMBER *restrict d_hidden,    /* (rows, units) */
    NUMBER *restrict gates,             /* (rows, 3 units): activations in, gradients of the products out */
    NUMBER *restrict candidates,        /* (rows, units): as above in, gradient of the input's n out */
    const NUMBER *restrict before,      /* (rows, units), as are the rest: the hidden state before */
    float *restrict d_state)            /* what goes past the products: of this step in, before out */
{
    for (long row = 0; row < rows; row++) {
#pragma GCC ivdep
        for (long k = 0; k < units; k++) {
            float r = LOAD(gates[k]);
            float z = LOAD(gates[units + k]);
            float n = LOAD(gates[2 * units + k]);
            float dh = LOAD(d_hidden[k]) + d_state[k];
            float dn = dh * (1.0f - z) * (1.0f - n * n);
            gates[k] = STORE(dn * LOAD(candidates[k]) * r * (1.0f - r));
            gates[units + k] = STORE(dh * (LOAD(before[k]) - n) * z * (1.0f - z));
            gates[2 * units + k] = STORE(dn * r);
            candidates[k] = STORE(dn);
            d_state[k] = dh * z;
        }
        gates += 3 * units;
        candidates += units;
        before += units;
        d_hidden += units;
        d_state += units;
    }
}

void TYPED(rnn_forward, NUMBER)(
    long rows, long units,
    const NUMBER *restrict products,    /* (rows, units) */
    const NUMBER *restrict inputs,      /* (..., units) */
    const int64_t *restrict at,
    NUMBER *restrict hidden)            /* (rows, units) */
{
    for (long row = 0; row < rows; row++) {
        const NUMBER *input = inputs + at[row] * units;
#pragma GCC ivdep
        for (long k = 0; k < units; k++)
            hidden[k] = STORE(hyperbolic(LOAD(products[k]) + LOAD(input[k])));
        products += units;
        hidden += units;
    }
}

void TYPED(rnn_backward, NUMBER)(
    long rows, long units,
    const NUMBER *restrict d_hidden,    /* (rows, units), as are all */
    const NUMBER *restrict hidden,
    NUMBER *restrict d_gates)
{
#pragma GCC ivdep
    for (long k = 0; k < rows * units; k++) {
        float h = LOAD(hidden[k]);
        d_gates[k] = STORE(LOAD(d_hidden[k]) * (1.0f - h * h));
    }
}

void TYPED(add_rows, NUMBER)(
    long rows, long units,
    const int64_t *restrict at,         /* which row of the sums each row is added to */
    const NUMBER *restrict added,       /* (rows, units) */
    float *restrict sums)
{
    for (long row = 0; row < rows; row++) {
        float *sum = sums + at[row] * units;
#pragma GCC ivdep
        for (long k = 0; k < units; k++)
            sum[k] += LOAD(added[k]);
        added += units;
    }
}

#undef LOAD
#undef STORE
