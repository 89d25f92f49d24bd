namespace MemSim;

/// <summary>What a short-term mapping of the 2.6 kernels is for: each CPU has one slot of each type (<c>enum km_type</c>).</summary>
public enum KmType
{
    /// <summary><c>KM_BOUNCE_READ</c>: copies out of bounce buffers.</summary>
    BounceRead,

    /// <summary><c>KM_SKB_SUNRPC_DATA</c>.</summary>
    SkbSunrpcData,

    /// <summary><c>KM_SKB_DATA_SOFTIRQ</c>: network buffers in soft interrupts.</summary>
    SkbDataSoftIrq,

    /// <summary><c>KM_USER0</c>: code on behalf of a process, first page.</summary>
    User0,

    /// <summary><c>KM_USER1</c>: code on behalf of a process, second page.</summary>
    User1,

    /// <summary><c>KM_BIO_SRC_IRQ</c>: source of a block request, interrupts off.</summary>
    BioSrcIrq,

    /// <summary><c>KM_BIO_DST_IRQ</c>: target of a block request, interrupts off.</summary>
    BioDstIrq,

    /// <summary><c>KM_PTE0</c>: a page table in high memory.</summary>
    Pte0,

    /// <summary><c>KM_PTE1</c>: a second page table in high memory.</summary>
    Pte1,

    /// <summary><c>KM_IRQ0</c>: hardware interrupts, first page.</summary>
    Irq0,

    /// <summary><c>KM_IRQ1</c>: hardware interrupts, second page.</summary>
    Irq1,

    /// <summary><c>KM_SOFTIRQ0</c>: soft interrupts, first page.</summary>
    SoftIrq0,

    /// <summary><c>KM_SOFTIRQ1</c>: soft interrupts, second page.</summary>
    SoftIrq1,
}

internal static class KmTypes
{
    /// <summary>Slots of a CPU (<c>KM_TYPE_NR</c>).</summary>
    public const int Count = 13;
}
