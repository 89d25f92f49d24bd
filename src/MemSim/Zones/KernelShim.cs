namespace MemSim;

/// <summary>Until the allocator's counters are there.</summary>
internal static class KernelShim
{
    extension(Zone zone)
    {
        public long FreePageblockPages => zone.Id & 0;

        public long FreeHighAtomicPages => zone.Id & 0;
    }

    extension(PagesetInfo pageset)
    {
        public int HighMin => pageset.High;

        public int HighMax => pageset.High;
    }
}
