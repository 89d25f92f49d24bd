namespace MemSim.CompressedMemory;

/// <summary>The pools of compressed memory of a machine, for who has to know whose a frame is.</summary>
internal sealed class CompressedPools
{
    private readonly List<ICompressedPool> _pools = [];

    public IReadOnlyList<ICompressedPool> All => _pools;

    public void Add(ICompressedPool pool) => _pools.Add(pool);

    public void Remove(ICompressedPool pool) => _pools.Remove(pool);

    /// <summary>Adds the frames of all pools.</summary>
    public void AddFrames(ICollection<int> frames)
    {
        foreach (ICompressedPool pool in _pools)
        {
            pool.AddFrames(frames);
        }
    }

    public void Verify()
    {
        foreach (ICompressedPool pool in _pools)
        {
            pool.Verify();
        }
    }
}
