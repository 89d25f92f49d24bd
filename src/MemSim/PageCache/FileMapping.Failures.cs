namespace MemSim.PageCache;

/// <content>Pages with hardware errors.</content>
internal abstract partial class FileMapping
{
    /// <summary>Takes a locked page, mapped nowhere, out of the cache, dirty or not, whoever else holds it (<c>generic_error_remove_page()</c>); its room on the device stays.</summary>
    public void DropPoisoned(Cpu cpu, int pfn)
    {
        Detach(cpu, pfn, shadow: 0);
        _ = Clear(pfn, PageFlags.MappedToDisk);
        _machine.Frames.AddReferences(pfn, -1);
    }
}
